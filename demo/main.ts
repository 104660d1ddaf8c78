import { get } from "node:https";
import { makeAuthority } from "../test/helpers/pki.ts";
import { startOrigin } from "../test/helpers/origin.ts";
import { formatDuration } from "../src/terminal/format.ts";
import { startPlatform } from "../test/helpers/platform.ts";
import { copyExample } from "./project.ts";
import { identityStory } from "./identity/story.ts";
import { say, step } from "./steps.ts";

/**
 * The whole story on one machine: a server that refuses every client without a certificate, an unmodified wrangler that
 * uploads one and deploys a Worker that binds it, and the Worker's answer.
 */
async function demo(stack: AsyncDisposableStack): Promise<void> {
  const authority = await makeAuthority("Demo Root CA");
  const client = await authority.issue({
    subject: "CN=app,O=Internet Widgits Pty Ltd,ST=Some-State,C=AU",
    usages: ["clientAuth"],
  });
  const origin = await step(
    "Start a TLS server that requires a client certificate of a CA made on the spot",
    async () => {
      const started = stack.use(await startOrigin({ authority }));
      say(`it listens on ${started.url}`);
      return started;
    },
  );

  await step("Ask that server without a certificate: it must refuse", async () => {
    const refusal = await refusalOf(origin.url, authority.pem);
    if (!refusal.includes("CERTIFICATE_REQUIRED")) {
      throw new Error(`expected the alert certificate_required, got: ${refusal}`);
    }
    say(`refused in the handshake: ${refusal}`);
  });

  const platform = await step("countersign start", async () => {
    const started = stack.use(await startPlatform());
    say(`the v4 API answers at ${started.ready.api}`);
    return started;
  });
  const project = stack.use(
    await copyExample("hono-mtls", platform.ready, {
      "cert.pem": client.chain,
      "key.pem": client.key,
      "ca.pem": authority.pem,
    }),
  );

  await step("wrangler cert upload: the CA that the server's certificate is from", () =>
    project.wrangler("cert upload certificate-authority --ca-cert ca.pem --name demo-origin-ca"),
  );

  await step("wrangler mtls-certificate upload", async () => {
    const output = await project.wrangler(
      "mtls-certificate upload --cert cert.pem --key key.pem --name app-cert",
    );
    const id = /^ID: (\S+)$/m.exec(output)?.[1];
    if (!id) throw new Error("wrangler did not print the certificate's ID");
    project.edit("wrangler.jsonc", (text) =>
      text.replace(/"certificate_id": "[^"]+"/, `"certificate_id": "${id}"`),
    );
    say(`put into wrangler.jsonc: "certificate_id": "${id}"`);
  });

  await step("wrangler deploy", () => project.wrangler(`deploy --var ORIGIN:${origin.url}`));

  await step("Ask the Worker, which asks the server with the certificate", async () => {
    const { url, status, body } = await platform.worker("cf-workers-mtls-example", "/mtls-request");
    say(`curl ${url}`);
    say(`${status} ${body}`);
    const answer = JSON.parse(body) as { status: number; response: { subject: string } };
    if (status !== 200 || answer.status !== 200) throw new Error("expected 200 and 200");
    if (!answer.response.subject.includes("CN=app")) throw new Error("another subject was seen");
    say(`the server saw the subject ${answer.response.subject}`);
  });
}

/** The error code with which Node reports how the server ended the handshake. */
function refusalOf(url: string, ca: string): Promise<string> {
  return new Promise((resolve) => {
    get(url, { ca, agent: false }, (response) => resolve(`answered ${response.statusCode}`)).on(
      "error",
      (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message),
    );
  });
}

const started = performance.now();
try {
  await using stack = new AsyncDisposableStack();
  process.once("SIGINT", () => void stack.disposeAsync().finally(() => process.exit(130)));
  if (process.argv[2] === "identity") await identityStory(stack);
  else await demo(stack);
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
const took = formatDuration(performance.now() - started);
console.log(process.exitCode === 1 ? `\ndemo failed after ${took}` : `\ndemo passed in ${took}`);
