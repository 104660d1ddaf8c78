import { Failure } from "../../failures/failures.ts";
import { ALIAS } from "../../store/workers/previews.ts";

const LABEL = /^[a-z](?:[a-z0-9-]*[a-z0-9])?$/;
const MOST = 63;

/** @throws Failure `metadata_invalid` if no host can have the alias */
export function assertAlias(
  annotations: Readonly<Record<string, string>>,
  scriptName: string,
): void {
  const alias = annotations[ALIAS];
  if (alias === undefined) return;
  const shown = alias.slice(0, 100);
  if (!LABEL.test(alias)) {
    throw new Failure("metadata_invalid", {
      message: `the preview alias "${shown}" is not lower-case letters, digits and hyphens, a letter first`,
      fix: "Choose another with `wrangler versions upload --preview-alias`.",
    });
  }
  const name = `${alias}-${scriptName}`;
  if (name.length <= MOST) return;
  throw new Failure("metadata_invalid", {
    message: `the preview alias "${shown}" is too long: "${name.slice(0, 200)}" has ${name.length} characters, and a host's label has ${MOST} at most`,
    fix: "Choose a shorter one with `wrangler versions upload --preview-alias`.",
  });
}
