import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { it } from "node:test";
import { block } from "./blocks.ts";
import type { Setting } from "./setting.ts";

/** The blocks about hosts, their certificates and their clients. */
export function hosts(setting: () => Setting): void {
  it("certificates.md: upload, rotation, roll back, and a folder that is followed", async () => {
    const { person } = setting();
    await person.run(block("docs/certificates.md", "countersign certificate rotate"));
    const folder = join(person.folder, "live");
    person.write({ "live/fullchain.pem": person.read("new.pem") });
    person.write({ "live/privkey.pem": person.read("new.key") });
    const watched = block("docs/certificates.md", "watch-folder");
    await person.run(watched.replace("/etc/letsencrypt/live/example.com", folder));
  });

  it("client-certificates.md: a host asks its clients, and knows what was revoked", async (t) => {
    const { authority, person } = setting();
    const [start = "", ...rest] = block("docs/client-certificates.md", "--https-port 4443")
      .trim()
      .split("\n");
    const free = start.replace("4443", "0");
    await person.starts(`${free} --api-port 0 --http-port 0`);
    await person.run(rest.join("\n"));
    await person.run(block("docs/client-certificates.md", "--ca managed"));
    const list = await authority.revoke([]);
    const server = createServer((_, response) => void response.end(list)).listen(0, "127.0.0.1");
    t.after(() => server.close());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const lists = block("docs/client-certificates.md", "host crl");
    const { stdout } = await person.run(
      lists.replace("https://pki.example.com/partners.crl", `http://127.0.0.1:${port}`),
    );
    assert.match(stdout, /Documented CA/);
  });

  it("ingress.md: hosts have certificates, from files, a folder and ACME, and origins", async () => {
    const { person } = setting();
    const page = "docs/ingress.md";
    await person.run(block(page, "countersign trust --print"));
    const certificate = block(page, "countersign host certificate api.example.com --cert");
    assert.match((await person.ends(certificate)).stdout, /api\.example\.com/);
    const folder = join(person.folder, "letsencrypt");
    const followed = block(page, "--folder");
    await person.run(followed.replace("/etc/letsencrypt/live/api.example.com", folder));
    const zone = await person.run(block(page, "countersign zone settings"));
    assert.match(zone.stdout, /always_use_https +on\n/);
    const origin = block(page, "host origin api.example.com");
    await person.run(origin);
    const authorityFile = block(page, "host origin-ca");
    await person.run(authorityFile);
    assert.match(person.read("origin-pull-ca.pem"), /BEGIN CERTIFICATE/);
  });
}
