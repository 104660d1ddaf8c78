import { spawn } from "node:child_process";
import { once } from "node:events";

/**
 * A client whose TLS is nearly nothing but padding: each of its small records takes 16 KiB. It goes on
 * until its connection is closed, or ten seconds have passed.
 * @returns whether it was closed
 */
export async function padded(port: number, more: readonly string[] = []): Promise<boolean> {
  const options = ["-quiet", "-tls1_3", "-record_padding", "16384", ...more];
  const child = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...options], {
    stdio: ["pipe", "ignore", "ignore"],
  });
  child.stdin.on("error", () => {});
  child.stdin.write("GET / HTTP/1.1\r\n");
  const send = setInterval(() => child.stdin.write("x: y\r\n"), 25);
  const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
  const [, signal] = (await once(child, "close")) as [number | null, string | null];
  clearInterval(send);
  clearTimeout(timer);
  return signal === null;
}
