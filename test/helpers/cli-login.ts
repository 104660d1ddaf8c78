import assert from "node:assert/strict";
import { Visitor } from "./visitor.ts";

export interface LoginForm {
  readonly email: string;
  readonly password: string;
  /** A code of an authenticator app, or a recovery code. Default: none. */
  readonly code?: string;
  /** Default: `allow`. */
  readonly decision?: "allow" | "deny";
}

/** Does in a browser what a person does, at the address that `countersign login` prints. */
export async function answerLogin(url: string, form: LoginForm): Promise<void> {
  const { origin } = new URL(url);
  const { email, password, code, decision = "allow" } = form;
  const visitor = new Visitor(origin);
  const leads = async (at: string, fields?: Record<string, string>): Promise<string> => {
    const to = (await visitor.visit(at, fields)).headers.get("location");
    assert.ok(to, `${at} leads nowhere`);
    return to;
  };
  const page = await leads(url);
  if (code !== undefined) await visitor.visit(page, { email, password });
  const consent = await leads(
    await leads(page, code === undefined ? { email, password } : { code }),
  );
  assert.match(await (await visitor.visit(consent)).text(), /the Countersign command line/);
  const back = await leads(await leads(`${consent}/consent`, { decision }));
  assert.match(await (await visitor.visit(back)).text(), /Go on in the terminal/);
}
