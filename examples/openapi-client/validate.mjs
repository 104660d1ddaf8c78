// Checks that the document is a valid OpenAPI 3.1 document, with each rule of Redocly's `spec` set.
import { createConfig, lint } from "@redocly/openapi-core";

const config = await createConfig({ extends: ["spec"] });
const problems = await lint({ ref: process.argv[2], config });
for (const { ruleId, message, location } of problems) {
  console.error(`${ruleId}: ${message} (${location[0]?.pointer})`);
}
process.exitCode = problems.length === 0 ? 0 : 1;
