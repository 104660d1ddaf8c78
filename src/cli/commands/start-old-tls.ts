import { Failure } from "../../failures/failures.ts";
import { hostPattern } from "../../network/host-pattern.ts";
import { colorsFor, writeLine, type Io } from "../../terminal/io.ts";

/** @throws Failure `usage` */
export function oldTlsHosts({
  unsafeOldTls = [],
}: {
  readonly unsafeOldTls?: string[];
}): readonly string[] {
  return unsafeOldTls.map((text) => {
    const parsed = hostPattern.safeParse(text);
    if (parsed.success) return parsed.data;
    throw new Failure("usage", {
      message: `--unsafe-old-tls "${text}" ${parsed.error.issues[0]?.message ?? "is not a host"}`,
    });
  });
}

export function warnOfOldTls(io: Io, hosts: readonly string[]): void {
  if (hosts.length === 0) return;
  const { red } = colorsFor(io, io.stderr);
  for (const line of [
    `✘ Connections to ${hosts.join(", ")} may be decrypted later: --unsafe-old-tls allows them cipher suites without forward secrecy`,
    "  Enable TLS 1.3, or ECDHE with AES-GCM, there; then start without the option.",
  ]) {
    writeLine(io.stderr, red(line));
  }
}
