import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { failures, type FailureEntry } from "../src/failures/failures.ts";

const file = join(import.meta.dirname, "..", "docs", "failures.md");

const introduction = `# Failures

Every failure that Countersign can answer with, from the one table in \`src/failures/\`. The code is stable: it stands in
the API's envelope beside its number, in the \`countersign-failure\` header of a Worker's response, in logs and
metrics, and in what the CLI prints. _Side_ says who has to act: the **caller** who sent the request, the
**origin**, the **worker**'s code, or the operator of the **platform**.

A response that is a failure has the fields \`code\`, \`number\`, \`title\`, \`message\`, \`cause\`, \`fix\`, \`side\`, \`ray\` and
facts of its own, below \`error\`. It is JSON where \`Accept\` says so and for a binding's \`fetch()\`, else text. Workers hand
such responses on to strangers: outside of \`--dev\`, a binding's has \`code\`, \`number\`, \`title\`, \`side\` and \`ray\` alone,
and the log has the rest under that ray (\`start --failure-details\`).

A connection by \`connect()\` has no response any more once it is open. A Worker reads a failure there as the end of the connection,
also where the origin reset it: workerd and the gateway speak over a Unix socket, and Linux passes a reset on there only if something
unread lies in the socket. The log has the failure, and a Worker can [ask for it](databases.md#when-it-fails).

This page is written by \`npm run docs\`.
`;

/** The page as the table wants it. */
export function failuresPage(): string {
  const entries: [string, FailureEntry][] = Object.entries(failures);
  entries.sort(([, one], [, other]) => one.number - other.number);
  return introduction + entries.map(([code, entry]) => section(code, entry)).join("");
}

function section(code: string, { side, status, number, title, cause, fix }: FailureEntry): string {
  return `
## \`${code}\`

${sentence(title)} · side: ${side} · HTTP ${status} · number ${number}

${cause}

**What to do:** ${fix}
`;
}

function sentence(title: string): string {
  return title.charAt(0).toUpperCase() + title.slice(1);
}

if (import.meta.main) {
  const page = failuresPage();
  if (process.argv.includes("--check")) {
    if (readFileSync(file, "utf8") !== page) {
      console.error("docs/failures.md is not what the table says: run `npm run docs`");
      process.exitCode = 1;
    }
  } else writeFileSync(file, page);
}
