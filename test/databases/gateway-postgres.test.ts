import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { createServer, type AddressInfo } from "node:net";
import { test } from "node:test";
import { edgeCertificate, testGateway, type TestGateway } from "../helpers/gateway.ts";
import { makeAuthority } from "../helpers/pki.ts";
import { startPostgres, withoutPostgres } from "../helpers/postgres.ts";

test(
  "connect() reaches a PostgreSQL that wants clientcert=verify-full",
  { skip: withoutPostgres },
  async (t) => {
    const authority = await makeAuthority();
    const { port } = await startPostgres(t, authority);
    const gateway = await testGateway(t, { postgresPorts: [port] });
    await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
    for (const [binding, subject] of [
      ["RIGHT", "CN=client"],
      ["WRONG", "CN=somebody-else"],
    ] as const) {
      const id = { certificateId: binding };
      await gateway.handle.setCertificate(edgeCertificate(await authority.issue({ subject }), id));
      await gateway.bind({ bindingName: binding, ...id });
    }
    const right = await connectTo(gateway, "RIGHT", port);
    const answer = await query(
      right,
      "client",
      "select client_dn from pg_stat_ssl where pid = pg_backend_pid()",
    );
    assert.match(answer, /\/CN=client/);
    right.destroy();
    const wrong = await connectTo(gateway, "WRONG", port);
    assert.match(await query(wrong, "client", "select 1"), /certificate authentication failed/);
    wrong.destroy();
  },
);

test("a PostgreSQL without TLS is told apart", async (t) => {
  const server = createServer((socket) => socket.once("data", () => socket.write("N")));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const authority = await makeAuthority();
  const gateway = await testGateway(t, { postgresPorts: [port] });
  await gateway.handle.setCertificate(edgeCertificate(await authority.issue({ subject: "CN=c" })));
  await gateway.bind();
  const request = tunnel(gateway, "CERT", port);
  const [response] = (await once(request, "connect")) as [IncomingMessage];
  assert.equal(response.statusCode, 525);
  assert.equal(response.headers["countersign-failure"], "origin_postgres_no_tls");
});

function tunnel(
  gateway: TestGateway,
  bindingName: string,
  port: number,
): ReturnType<typeof httpRequest> {
  const request = httpRequest({
    socketPath: gateway.socket({ bindingName }),
    method: "CONNECT",
    path: `localhost:${port}`,
    agent: false,
  });
  request.end();
  return request;
}

async function connectTo(gateway: TestGateway, bindingName: string, port: number): Promise<Socket> {
  const [response, socket] = (await once(tunnel(gateway, bindingName, port), "connect")) as [
    IncomingMessage,
    Socket,
  ];
  assert.equal(response.statusCode, 200);
  return socket;
}

/** Sends a StartupMessage and one simple query; returns everything up to the point where the server waits or closes. */
async function query(socket: Socket, user: string, sql: string): Promise<string> {
  const parameters = Buffer.from(`user\0${user}\0database\0postgres\0\0`);
  const startup = Buffer.alloc(8);
  startup.writeInt32BE(8 + parameters.length, 0);
  startup.writeInt32BE(196_608, 4);
  socket.write(Buffer.concat([startup, parameters]));
  let all = "";
  let asked = false;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    all += (chunk as Buffer).toString("latin1");
    // ReadyForQuery, idle.
    if (!all.endsWith("Z\0\0\0\u0005I")) continue;
    if (asked) return all;
    asked = true;
    all = "";
    const text = Buffer.from(`${sql}\0`);
    const head = Buffer.from("Q\0\0\0\0");
    head.writeInt32BE(4 + text.length, 1);
    socket.write(Buffer.concat([head, text]));
  }
  return all;
}
