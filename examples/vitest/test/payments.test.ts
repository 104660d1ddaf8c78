import { env } from "cloudflare:workers";
import { originOf } from "countersign/vitest/worker";
import { afterEach, expect, test } from "vitest";
import worker from "../src/index.ts";

const bank = originOf(env);

afterEach(() => bank.fail({}));

const pay = (): Promise<Response> =>
  worker.fetch(new Request("https://payments/transfers", { method: "POST", body: "12 EUR" }), env);

test("the bank sees our certificate, and the order", async () => {
  expect(await (await pay()).json()).toEqual({ accepted: true });
  const [seen] = (await bank.requests()).slice(-1);
  expect(seen?.client?.subject).toContain("CN=BANK_CERT");
  expect(seen?.path).toBe("/transfers");
  expect(seen?.headers["host"]).toBe("bank.example");
  expect(seen?.body?.bytes).toBe(6);
});

test("a bank whose certificate has expired gets no order", async () => {
  const before = (await bank.requests()).length;
  await bank.fail({ expired: true });
  const response = await pay();
  expect(response.status).toBe(502);
  expect(await response.json()).toMatchObject({ failure: "origin_certificate_expired" });
  expect(await bank.requests()).toHaveLength(before);
});

test("a bank that cuts its answer is an error that the caller sees", async () => {
  await bank.fail({ resets: true });
  expect((await pay()).status).toBe(502);
});
