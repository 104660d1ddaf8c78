import { type Aim, atMost } from "../aims.ts";
import type { IngressReport } from "./report.ts";

/** Ratios of CPU and memory, which are valid on a busy machine too. */
export function aimsOfIngress({ rows, idle }: IngressReport): Aim[] {
  const cpu = (subject: string, body: string): number | null =>
    rows.find((row) => row.subject === subject && row.connections === 16 && row.body === body)
      ?.cpu_us ?? null;
  const memory = (subject: string): number | null =>
    idle.find((row) => row.subject === subject)?.kib_each ?? null;
  const proxy = "› proxy";
  return [
    atMost("ingress, CPU µs a small request over HTTP", 55, cpu(`ingress ${proxy}`, "HTTP")),
    atMost(
      "ingress, CPU a request over HTTPS ÷ Caddy's",
      1,
      ratio(cpu(`ingress ${proxy}`, "HTTPS"), cpu(`Caddy ${proxy}`, "HTTPS")),
    ),
    atMost(
      "ingress, CPU a request with a client certificate ÷ Caddy's",
      1,
      ratio(
        cpu(`ingress ${proxy}`, "HTTPS, client certificate"),
        cpu(`Caddy ${proxy}`, "HTTPS, client certificate"),
      ),
    ),
    atMost(
      "ingress, CPU a handshake ÷ nginx's",
      2,
      ratio(cpu("ingress", "handshakes, HTTPS"), cpu("nginx", "handshakes, HTTPS")),
    ),
    atMost(
      "ingress, CPU a handshake with a client certificate ÷ nginx's",
      2,
      ratio(
        cpu("ingress", "handshakes, HTTPS, client certificate"),
        cpu("nginx", "handshakes, HTTPS, client certificate"),
      ),
    ),
    atMost(
      "ingress, memory of an idle TLS connection ÷ Caddy's",
      1,
      ratio(memory("ingress"), memory("Caddy")),
    ),
  ];
}

function ratio(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : one / other;
}
