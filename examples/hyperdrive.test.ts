import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { startMariadb, withoutMariadb } from "../test/helpers/mariadb.ts";
import { makeAuthority } from "../test/helpers/pki.ts";
import { startPlatform } from "../test/helpers/platform.ts";
import { startPostgres, withoutPostgres } from "../test/helpers/postgres.ts";
import { wranglerProject } from "../test/helpers/wrangler.ts";

const folder = join(import.meta.dirname, "hyperdrive");

test(
  "pg, postgres, Drizzle and mysql2 in a Worker, through Hyperdrive, over mutual TLS",
  { skip: withoutPostgres || withoutMariadb },
  async (t) => {
    const authority = await makeAuthority("Databases CA");
    const [server, maria] = await Promise.all([
      startPostgres(t, authority, {
        rules: ["hostssl all all all scram-sha-256 clientcert=verify-full"],
      }),
      startMariadb(t, authority),
    ]);
    server.sql("create role app login password 'pg-secret-word'");
    maria.sql(
      "create user app@'%' identified by 'maria-secret-word' require x509; grant all on shop.* to app@'%'",
    );
    const leaf = await authority.issue({ subject: "CN=app" });
    await using platform = await startPlatform();
    const { api, token, accountId } = platform.ready;
    await using project = await wranglerProject(
      { api, token, accountId },
      {
        "cert.pem": leaf.chain,
        "key.pem": leaf.key,
        "ca.pem": authority.pem,
        "worker.js": await readFile(join(folder, "worker.js")),
      },
    );
    await project.write({ "package.json": await readFile(join(folder, "package.json")) });
    // The drivers, as published.
    const install = ["install", "--ignore-scripts", "--no-audit", "--no-fund"];
    await promisify(execFile)("npm", install, { cwd: project.folder });
    const wrangler = async (args: string): Promise<string> => {
      const run = await project.run(args.split(" "));
      assert.equal(run.exitCode, 0, run.output);
      return run.stdout;
    };
    const [certificate, ca] = await Promise.all([
      wrangler("cert upload mtls-certificate --cert cert.pem --key key.pem --name app").then(idIn),
      wrangler("cert upload certificate-authority --ca-cert ca.pem --name ca").then(idIn),
    ]);
    const tls = `--mtls-certificate-id ${certificate} --ca-certificate-id ${ca} --sslmode`;
    const [pgId, mariaId] = await Promise.all([
      wrangler(
        `hyperdrive create pg --connection-string postgres://app:pg-secret-word@localhost:${server.port}/postgres ${tls} verify-full`,
      ).then(idIn),
      wrangler(
        `hyperdrive create maria --connection-string mysql://app:maria-secret-word@localhost:${maria.port}/shop ${tls} VERIFY_IDENTITY`,
      ).then(idIn),
    ]);
    await project.write({
      "wrangler.json": {
        name: "databases",
        main: "worker.js",
        compatibility_date: "2026-11-01",
        compatibility_flags: ["nodejs_compat"],
        hyperdrive: [
          { binding: "PG", id: pgId },
          { binding: "MARIA", id: mariaId },
        ],
      },
    });
    await wrangler("deploy");
    const ask = async (driver: string): Promise<unknown> =>
      JSON.parse((await platform.worker("databases", `/${driver}`)).body);
    for (const driver of ["pg", "postgres", "drizzle"]) {
      assert.deepEqual(await ask(driver), { name: "app", dn: "/CN=app" }, driver);
    }
    assert.deepEqual(await ask("mysql2"), { name: "app@%", db: "shop" });
    const told = JSON.stringify(await ask("secrets"));
    assert.match(told, /postgresql:\/\/app:.*hyperdrive\.local:5432\/postgres/);
    assert.doesNotMatch(told, /secret-word/);

    // The next connection uses a new password, without a deploy.
    await wrangler(`hyperdrive update ${pgId} --origin-password another-word`);
    const refused = (await ask("pg")) as { message: string; code: string };
    assert.match(refused.message, /^database_sign_in_refused: /);
    assert.equal(refused.code, "28P01");
    server.sql("alter role app password 'another-word'");
    assert.deepEqual(await ask("pg"), { name: "app", dn: "/CN=app" });
    // After revocation, each driver reports it.
    const path = `/accounts/{account}/countersign/certificates/${certificate}/revoke`;
    assert.equal((await platform.api("POST", path, {})).status, 200);
    for (const driver of ["pg", "postgres", "mysql2"]) {
      const { message } = (await ask(driver)) as { message: string };
      assert.match(message, /^certificate_revoked: /, driver);
    }
    assert.doesNotMatch(platform.log(), /secret-word|another-word/);
  },
);

function idIn(text: string): string {
  return /[0-9a-f-]{36}|[0-9a-f]{32}/.exec(text)![0];
}
