import type { Command } from "commander";
import { apiClient } from "../../client/api-client.ts";
import { dataOption } from "../../data-option.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../../terminal/io.ts";
import { Exit, exitStatus } from "../../report.ts";

interface WebhookOptions {
  readonly data?: string;
  readonly json?: true;
}

const path = "/countersign/webhook";

export function addCertificateWebhook(group: Command, io: Io): void {
  const webhook = group
    .command("webhook")
    .description("the webhook for certificates that expire: 30, 14, 7, 3, 1 days before, and then")
    .addHelpText(
      "after",
      `
Messages are signed after Standard Webhooks (webhook-id, webhook-timestamp, webhook-signature), sent once a
threshold, and tried again for three days until a status from 200 to 299 comes back.

Examples:
  $ countersign certificate webhook set https://alerts.example.com/countersign
  $ countersign certificate webhook test`,
    );
  webhook
    .command("set")
    .description("set the URL; prints the secret that messages are signed with, once")
    .argument("<url>", "https://…, or http://… in a network of yours")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (url: string, options: WebhookOptions) => {
      const api = await apiClient(io, options);
      const { result } = await api.call<{ url: string; secret: string }>("PUT", path, { url });
      if (options.json) return writeJson(io.stdout, result);
      const colors = colorsFor(io, io.stdout);
      writeLine(io.stdout, `${colors.green("✔")} ${result.url} is told of certificates that end`);
      writeLine(io.stdout, `  secret: ${result.secret}   ${colors.dim("shown once")}`);
    });
  webhook
    .command("show")
    .description("the URL, and what it was told")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (options: WebhookOptions) => {
      const api = await apiClient(io, options);
      const { result } = await api.call<{ url: string }>("GET", path);
      const { result: notices } = await api.call<readonly Notice[]>("GET", `${path}/notices`);
      if (options.json) return writeJson(io.stdout, { ...result, notices });
      writeLine(io.stdout, result.url);
      for (const notice of notices) writeLine(io.stdout, `  ${describe(notice)}`);
    });
  webhook
    .command("test")
    .description("send a message now")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (options: WebhookOptions) => {
      const api = await apiClient(io, options);
      const { result } = await api.call<{ delivered: boolean; error: string | null }>(
        "POST",
        `${path}/test`,
      );
      const colors = colorsFor(io, io.stdout);
      const outcome = result.delivered
        ? `${colors.green("✔")} delivered`
        : `${colors.red("✘")} not delivered: ${result.error}`;
      if (options.json) writeJson(io.stdout, result);
      else writeLine(io.stdout, outcome);
      if (!result.delivered) throw new Exit(exitStatus.failed);
    });
  webhook
    .command("remove")
    .description("remove the webhook: nobody is told any more")
    .option(...dataOption)
    .option("--json", "one JSON object")
    .action(async (options: WebhookOptions) => {
      const api = await apiClient(io, options);
      const { result } = await api.call<object>("DELETE", path);
      if (options.json) return writeJson(io.stdout, result);
      writeLine(io.stdout, "removed");
    });
}

interface Notice {
  readonly certificate_id: string;
  readonly threshold: number;
  readonly created_on: string;
  readonly delivered_on: string | null;
  readonly next_attempt_on: string | null;
  readonly last_error: string | null;
}

function describe(notice: Notice): string {
  const { certificate_id: id, threshold, created_on: on } = notice;
  const what = threshold === 0 ? "expired" : `within ${threshold} days`;
  const outcome = notice.delivered_on
    ? `delivered ${notice.delivered_on}`
    : notice.next_attempt_on
      ? `not yet: ${notice.last_error ?? "waiting"}`
      : `not delivered${notice.last_error ? `: ${notice.last_error}` : ""}`;
  return `${on}  ${id}  ${what}  ${outcome}`;
}
