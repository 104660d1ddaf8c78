import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { failures, type FailureCode } from "../src/failures/failures.ts";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

// For each failure: make it happen, run the command that its fix names, word for word, and repeat the attempt.

interface Case {
  readonly code: FailureCode;
  /** Fails with the code first, and succeeds after the fix: the command's arguments, or a request. */
  readonly attempt: readonly string[] | (() => Promise<string>);
  /** Values for the fix's placeholders, in order, then arguments that the fix leaves out. */
  readonly rest: readonly string[];
  /** Index of the command in the fix. Default: the first. */
  readonly command?: number;
  /** The fix itself completes the attempt, so it is not repeated. */
  readonly fixDoesIt?: true;
  readonly before?: () => Promise<unknown>;
}

describe("the command of a fix does what the failure kept from being done", () => {
  let authority: TestAuthority;
  let platform: TestPlatform;
  let folder: string;
  let origin: string;
  let listener: Server;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "countersign-followed-"));
    authority = await makeAuthority();
    const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    listener = createServer({ cert: server.chain, key: server.key }, (_, r) => r.end("ok"));
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    origin = `https://localhost:${(listener.address() as AddressInfo).port}/`;
    await writeFile(join(folder, "ca.pem"), authority.pem);
    await writeFile(join(folder, "other-ca.pem"), (await makeAuthority("Other CA")).pem);
    const past = { notBefore: new Date(2020, 0), notAfter: new Date(2021, 0) };
    for (const [name, dates] of Object.entries({
      one: {},
      two: {},
      three: {},
      rolled: {},
      gone: {},
      expired: past,
      lapsed: past,
    })) {
      const leaf = await authority.issue({ subject: `CN=${name}`, ...dates });
      await writeFile(join(folder, `${name}.pem`), leaf.chain);
      await writeFile(join(folder, `${name}.key`), leaf.key);
    }
    await writeFile(join(folder, "policy.json"), JSON.stringify({ allow: [{ worker: ["shop"] }] }));
    platform = await startPlatform();
    await done("ca", "upload", "--cert", "ca.pem", "--name", "trusted");
    await done("certificate", "upload", ...files("one"), "--name", "one");
    await deploy(
      "shop",
      (JSON.parse(await done("certificate", "show", "one", "--json")) as { id: string }).id,
    );
    await deploy("self", "identity");
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    listener?.close();
    listener?.closeAllConnections();
    await rm(folder, { recursive: true, force: true });
  });

  const run = (...argv: readonly string[]) =>
    countersign([...argv, "--data", platform.dataFolder], { cwd: folder });
  const done = async (...argv: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await run(...argv);
    assert.equal(status, 0, `${argv.join(" ")}: ${stderr}`);
    return stdout;
  };
  const deploy = async (name: string, certificateId: string): Promise<void> => {
    const bindings = [{ type: "mtls_certificate", name: "CERT", certificate_id: certificateId }];
    const source = `export default { fetch: (_, env) => env.CERT.fetch("${origin}") };`;
    const { json } = await platform.api(
      "PUT",
      `/accounts/{account}/workers/scripts/${name}`,
      scriptForm(
        { bindings, compatibility_date: "2026-11-01" },
        { "index.js": ["application/javascript+module", source] },
      ),
    );
    assert.ok(json.success, JSON.stringify(json.errors));
  };
  const asks = (name: string) => async (): Promise<string> => {
    const { status, headers } = await platform.worker(name);
    return status === 200 ? "" : String(headers["countersign-failure"]);
  };
  const calls = (method: string, path: string, body?: unknown) => async (): Promise<string> => {
    const { json } = await platform.api(method, path, body);
    const [error] = json.errors as unknown as { meta: { failure: string } }[];
    return error?.meta.failure ?? "";
  };
  /** The code with which the attempt fails; empty: it succeeded. */
  const tried = async (attempt: Case["attempt"]): Promise<string> => {
    if (typeof attempt === "function") return attempt();
    const { status, stdout, stderr } = await run(...attempt, "--json");
    return status === 0 ? "" : errorIn(stdout || stderr);
  };
  const verify = async (authorization?: string): Promise<string> => {
    const response = await fetch(`${platform.ready.api}/user/tokens/verify`, {
      headers: authorization === undefined ? {} : { authorization },
    });
    const { errors } = (await response.json()) as { errors: { meta: { failure: string } }[] };
    return errors[0]?.meta.failure ?? "";
  };

  const cases: readonly Case[] = [
    {
      code: "certificate_quota",
      before: () => done("account", "limits", "--certificates", "1"),
      attempt: upload(...files("two"), "--name", "two"),
      rest: ["10"],
    },
    {
      code: "authority_quota",
      before: () => done("account", "limits", "--cas", "1"),
      attempt: ["ca", "upload", "--cert", "other-ca.pem", "--name", "other"],
      rest: ["10"],
    },
    {
      code: "upload_expired",
      attempt: upload(...files("expired"), "--name", "old"),
      rest: [...files("expired"), "--name", "old"],
      fixDoesIt: true,
    },
    {
      code: "certificate_version_revoked",
      before: () => done("certificate", "revoke", "one", "--yes"),
      attempt: ["certificate", "activate", "one", "1"],
      rest: ["one", ...files("three")],
      fixDoesIt: true,
    },
    {
      code: "certificate_rollback_impossible",
      before: async () => {
        await done(...upload(...files("rolled"), "--name", "rolled"));
        await done(
          "certificate",
          "rotate",
          "rolled",
          ...files("lapsed"),
          "--allow-expired",
          "--no-activate",
        );
      },
      attempt: ["certificate", "rollback", "rolled"],
      command: 1,
      rest: ["rolled", "2", "--allow-expired"],
      fixDoesIt: true,
    },
    {
      code: "identity_revoked",
      before: () => done("identity", "revoke", "self", "--yes"),
      attempt: asks("self"),
      rest: ["self"],
    },
    {
      code: "identity_deleted",
      before: async () => {
        await platform.api("DELETE", "/accounts/{account}/workers/scripts/self?force=true");
        await deploy("self", "identity");
      },
      attempt: asks("self"),
      rest: ["self"],
    },
    {
      code: "webhook_not_found",
      attempt: calls("POST", "/accounts/{account}/countersign/webhook/test", {}),
      rest: ["https://localhost:9/hook"],
    },
    {
      code: "policy_not_found",
      attempt: ["policy", "show", "shared"],
      rest: ["shared", "policy.json"],
    },
    {
      code: "user_exists",
      before: () => done("user", "add", "ada@example.com", "--role", "viewer"),
      attempt: ["user", "add", "ada@example.com", "--role", "admin"],
      rest: ["ada@example.com", "admin"],
      fixDoesIt: true,
    },
    {
      code: "in_process_hosts_limited",
      before: async () => {
        const { id } = JSON.parse(await done("certificate", "show", "one", "--json")) as {
          id: string;
        };
        const path = `/accounts/{account}/countersign/certificates/${id}`;
        await platform.api("PATCH", path, { allowed_hosts: ["localhost"] });
      },
      attempt: ["binding", "set", "shop", "CERT", "--in-process"],
      command: 0,
      rest: ["shop CERT"],
      fixDoesIt: true,
    },
    {
      code: "authority_in_use",
      before: () => done("ca", "trust", "other", "--certificate", "one"),
      attempt: ["certificate", "delete", "other", "--yes"],
      rest: ["other", "--nowhere"],
    },
    {
      code: "identity_not_found",
      attempt: ["identity", "revoke", "nobody", "--yes"],
      rest: [],
      fixDoesIt: true,
    },
  ];

  for (const { code, attempt, rest, command = 0, fixDoesIt, before: prepare } of cases) {
    test(`${code}: ${failures[code].fix}`, async () => {
      await prepare?.();
      assert.equal(await tried(attempt), code);
      await done(...commandOf(code, command, rest));
      if (!fixDoesIt) assert.equal(await tried(attempt), "");
    });
  }

  test("token_invalid and token_missing: a token that `token create` or `env` makes is taken", async () => {
    assert.equal(await verify("Bearer csn_wrong"), "token_invalid");
    const made = await done(...commandOf("token_invalid", 0, ["again", "--json"]));
    assert.equal(await verify(`Bearer ${(JSON.parse(made) as { token: string }).token}`), "");
    assert.equal(await verify(), "token_missing");
    const env = await done(...commandOf("token_missing", 0, ["--json"]));
    const { CLOUDFLARE_API_TOKEN: token } = JSON.parse(env) as Record<string, string>;
    assert.equal(await verify(`Bearer ${token}`), "");
  });

  test("confirmation_needed, file_exists and platform_not_running: the flag or command goes through", async () => {
    await done(...upload(...files("gone"), "--name", "gone"));
    const refused = await run("certificate", "delete", "gone", "--json");
    assert.equal(errorIn(refused.stdout), "confirmation_needed");
    await done("certificate", "delete", "gone", flagOf("confirmation_needed"));
    await done("backup", "all.backup");
    assert.equal(errorIn((await run("backup", "all.backup", "--json")).stdout), "file_exists");
    await done("backup", "all.backup", flagOf("file_exists"));
    const argv = ["restore", "all.backup", "--data", platform.dataFolder, "--json"];
    assert.notEqual((await countersign(argv, { cwd: folder })).status, 0, "it runs");
    const elsewhere = ["user", "list", "--data", join(folder, "nowhere"), "--json"];
    assert.equal(errorIn((await countersign(elsewhere)).stdout), "platform_not_running");
    await done("user", "list", "--json");
  });
});

function files(name: string): readonly string[] {
  return ["--cert", `${name}.pem`, "--key", `${name}.key`];
}

function upload(...more: readonly string[]): readonly string[] {
  return ["certificate", "upload", ...more];
}

/** The fix's command, without `countersign`. */
function commandOf(code: FailureCode, index: number, rest: readonly string[]): readonly string[] {
  const commands = [
    ...failures[code].fix.matchAll(/`(?:eval "\$\()?(?:npx )?countersign ([^`)]+)/g),
  ];
  const text = commands[index]?.[1];
  assert.ok(text !== undefined, `${code} names no command`);
  const given = [...rest];
  const words = text.split(" ").flatMap((word) => {
    if (!/^(?:[A-Z]+|<\w+>|…)$/.test(word)) return [word];
    return (given.shift() ?? "").split(" ");
  });
  return [...words, ...given];
}

function flagOf(code: FailureCode): string {
  return /--[a-z-]+/.exec(failures[code].fix)![0];
}

function errorIn(stdout: string): string {
  return (JSON.parse(stdout) as { error: { code: string } }).error.code;
}
