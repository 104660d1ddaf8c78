import assert from "node:assert/strict";
import { it } from "node:test";
import { URI } from "otpauth";
import { answerLogin } from "../helpers/cli-login.ts";
import { block } from "./blocks.ts";
import type { Setting } from "./setting.ts";

const email = "eve@example.com";

/** The blocks about permissions: tokens, people, accounts. */
export function people(setting: () => Setting): void {
  it("access.md: tokens, people, accounts and what was done", async () => {
    const { person } = setting();
    await person.run(block("docs/access.md", "countersign token create"));
    const managed = block("docs/access.md", "countersign user add");
    assert.match((await person.run(managed)).stdout, /Shop/);
    const { stdout } = await person.run(block("docs/access.md", "countersign audit verify"));
    assert.match(stdout, /entries, none changed, none missing/);
    await person.run(block("docs/access.md", "countersign access token"));
  });

  it("cli.md: a person signs in, and is asked who they are", async () => {
    const { platform, person } = setting();
    await person.run(
      "countersign user add bo@example.com --role admin --password-stdin < password",
    );
    const code = block("docs/cli.md", "countersign login");
    const [login = "", whoami = "", logout = ""] = code.trim().split("\n");
    const { api } = platform.ready;
    const line = login.replace(
      "https://countersign.example",
      `${new URL(api).origin} --no-browser`,
    );
    await signIn(line, "bo@example.com");
    const named = await person.run(`unset COUNTERSIGN_DATA CLOUDFLARE_API_TOKEN\n${whoami}`);
    assert.match(named.stdout, /bo@example\.com/);
    await person.run(logout);
    const completed = block("docs/cli.md", "completion bash");
    person.write({ ".config/fish/completions/empty": "" });
    await person.run(completed);
    assert.match(person.read(".config/fish/completions/countersign.fish"), /complete/);
  });

  /** Runs a login's command line, and does in the browser what the person does. */
  const signIn = async (line: string, who: string, code?: string): Promise<void> => {
    const { person } = setting();
    const own = "unset COUNTERSIGN_DATA CLOUDFLARE_API_TOKEN CLOUDFLARE_API_BASE_URL\n";
    const seen = Promise.withResolvers<string>();
    const done = person.run(own + line, {
      onSaid: (said) => {
        const [, url] = /Sign in here: (\S+)\n/.exec(said) ?? [];
        if (url) seen.resolve(url);
      },
    });
    const url = await Promise.race([seen.promise, done.then(() => "")]);
    await answerLogin(url, {
      email: who,
      password: "a long enough password",
      ...(code && { code }),
    });
    await done;
  };

  it("access.md: people look after their own sign-in", async () => {
    const { platform, person } = setting();
    const code = block("docs/access.md", "countersign user totp add");
    await person.run(`countersign user add ${email} --role admin --password-stdin < password`);
    const login = `countersign login ${new URL(platform.ready.api).origin} --no-browser`;
    await signIn(login, email);
    const own = "unset COUNTERSIGN_DATA CLOUDFLARE_API_TOKEN CLOUDFLARE_API_BASE_URL\n";
    const lines = code.trim().split("\n");
    const passwords = { OLD: "a long enough password", NEW: "a long enough password" };
    assert.match(lines[0]!, /"\$OLD" "\$NEW"/);
    await person.run(own + lines[0]!, { env: passwords });
    const added = await person.run(own + lines[1]!);
    const [uri = ""] = /otpauth:\S+/.exec(added.stdout) ?? [];
    const totp = URI.parse(uri) as import("otpauth").TOTP;
    const confirmed = await person.run(own + lines[2]!.replace("123456", totp.generate()));
    const [recovery] = /\b[a-z0-9]{16}\b/.exec(confirmed.stdout) ?? [];
    assert.ok(recovery, confirmed.stdout);
    await signIn(login, email, recovery);
    await person.run(own + lines[3]!);
    const listed = await person.run(`${own}countersign user sessions --json`);
    const sessions = JSON.parse(listed.stdout) as { id: string; current: boolean }[];
    const other = sessions.find(({ current }) => !current)?.id ?? "";
    await person.run(own + lines[4]!.replace(/\bID\b/, other));
    await person.run(own + lines[5]!);
    await person.run(`${own}countersign logout`);
  });
}
