import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  startMosquitto,
  startSlapd,
  without,
  type ServerFiles,
} from "../helpers/database-servers.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "../helpers/pki.ts";
import { startPlatform, type TestPlatform } from "../helpers/platform.ts";
import { scriptForm } from "../helpers/script-form.ts";

/** Sends bytes, waits for as many answers as asked for, and returns them as hexadecimal digits. */
const WORKER = `export default {
  async fetch(request, env) {
    const { searchParams } = new URL(request.url);
    const [to, say] = [searchParams.get("to"), searchParams.getAll("say")];
    const socket = env.CERT.connect(to);
    const [writer, reader] = [socket.writable.getWriter(), socket.readable.getReader()];
    const answers = [];
    try {
      for (const bytes of say) {
        await writer.write(Uint8Array.fromHex(bytes));
        const { done, value } = await reader.read();
        if (done) break;
        answers.push(value.toHex());
      }
      await socket.close();
    } catch (error) {
      answers.push(String(error));
    }
    if (searchParams.has("more")) {
      const [one, two] = [env.CERT.connect(to), env.CERT.connect(to)];
      await Promise.allSettled([one.opened, two.opened]);
      await Promise.allSettled([one.close(), two.close()]);
    }
    const asked = await env.CERT.fetch("http://connect.countersign.invalid/" + to);
    return Response.json({ answers, failure: asked.headers.get("countersign-failure") });
  },
};`;

interface Answer {
  readonly answers?: readonly string[];
  readonly failure: string | null;
}

describe("connect() to servers that ask for a certificate with the first byte", () => {
  let platform: TestPlatform;
  let authority: TestAuthority;
  let files: ServerFiles;

  before(async () => {
    authority = await makeAuthority();
    const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    files = { ca: authority.pem, chain: server.chain, key: server.key };
    platform = await startPlatform({ args: ["--dev", "--connect-limit", "1"] });
    const ca = { certificates: authority.pem, ca: true };
    await upload(ca);
    const stranger = await (await makeAuthority("Strangers")).issue({ subject: "CN=orders" });
    await deploy("orders", await authority.issue({ subject: "CN=orders,O=Shop" }));
    await deploy("stranger", stranger);
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const upload = async (body: object): Promise<string> => {
    const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
    assert.ok(json.success, JSON.stringify(json.errors));
    return json.result.id as string;
  };
  const deploy = async (name: string, { chain, key }: TestCertificate): Promise<void> => {
    const id = await upload({ certificates: chain, private_key: key, ca: false });
    const bindings = [{ type: "mtls_certificate", name: "CERT", certificate_id: id }];
    const form = scriptForm(
      { compatibility_date: "2026-11-01", bindings },
      { "index.js": ["application/javascript+module", WORKER] },
    );
    const path = `/accounts/{account}/workers/scripts/${name}`;
    const { json } = await platform.api("PUT", path, form);
    assert.ok(json.success, JSON.stringify(json.errors));
  };
  const ask = async (
    name: string,
    port: number,
    say: readonly Buffer[],
    more: Readonly<Record<string, string>> = {},
  ): Promise<Answer> => {
    const query = new URLSearchParams({ to: `localhost:${port}`, ...more });
    for (const one of say) query.append("say", one.toString("hex"));
    const { status, body } = await platform.worker(name, `/?${query.toString()}`);
    assert.equal(status, 200, body);
    return JSON.parse(body) as Answer;
  };

  it(
    "a directory knows the Worker by its certificate (LDAPS, SASL EXTERNAL)",
    { skip: without("slapd") },
    async (t) => {
      const { port } = await startSlapd(t, files);
      const { answers = [], failure } = await ask("orders", port, [BIND_EXTERNAL, WHO_AM_I]);
      assert.equal(failure, null);
      assert.match(answers[0] ?? "", /0a0100/, "the bind succeeded");
      assert.match(Buffer.from(answers[1] ?? "", "hex").toString("latin1"), /dn:o=shop,cn=orders/);
      const refused = await ask("stranger", port, [BIND_EXTERNAL]);
      assert.match(refused.failure ?? "", REFUSED);
    },
  );

  it(
    "a broker knows the Worker by its certificate (MQTTS)",
    { skip: without("mosquitto") },
    async (t) => {
      const { port } = await startMosquitto(t, files, "orders");
      const { answers, failure } = await ask("orders", port, [CONNECT, SUBSCRIBE, PUBLISH]);
      assert.equal(failure, null);
      assert.deepEqual(answers, ["20020000", "9003000100", PUBLISH.toString("hex")]);
      const limited = await ask("orders", port, [], { more: "than --connect-limit" });
      assert.equal(limited.failure, "connect_streams_exhausted");
      const refused = await ask("stranger", port, [CONNECT]);
      assert.match(refused.failure ?? "", REFUSED);
    },
  );
});

/** RFC 4513, section 5.2.3, and RFC 4532. */
const BIND_EXTERNAL = Buffer.from(
  `301802010160130201030400a30c0408${Buffer.from("EXTERNAL").toString("hex")}0400`,
  "hex",
);
const WHO_AM_I = Buffer.from(
  `301e02010277198017${Buffer.from("1.3.6.1.4.1.4203.1.11.3").toString("hex")}`,
  "hex",
);
/** MQTT 3.1.1: the client "w"; a subscription to `orders`; "1" published there. */
const CONNECT = Buffer.from("100d00044d5154540402003c000177", "hex");
const SUBSCRIBE = Buffer.from(`820b00010006${Buffer.from("orders").toString("hex")}00`, "hex");
const PUBLISH = Buffer.from(`30090006${Buffer.from("orders1").toString("hex")}`, "hex");

/** OpenSSL sends the reason; GnuTLS closes the connection. */
const REFUSED = /^origin_(refused_certificate_ca|closed_first_read)$/;
