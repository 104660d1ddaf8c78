import { Argument, type Command } from "commander";
import { apiClient } from "../../client/api-client.ts";
import { dataOption } from "../../data-option.ts";
import { writeJson, writeLine, type Io } from "../../../terminal/io.ts";

interface Settings {
  readonly environments: boolean;
}

const path = "/countersign/identity/settings";

/** `countersign identity environments [on|off]`: whether identities name the Wrangler environment. */
export function addIdentityEnvironmentsCommand(identity: Command, io: Io): void {
  identity
    .command("environments")
    .description("whether identities name the environment that each Worker was deployed to")
    .addArgument(new Argument("[state]", "changes it").choices(["on", "off"]))
    .option(...dataOption)
    .option("--json", "one JSON object")
    .addHelpText(
      "after",
      `
What \`wrangler deploy --env staging\` has deployed is then known as
  spiffe://{trust domain}/account/{account}/worker/{name}/environment/staging
and rules of a policy can ask for it: { "environment": "staging" }. Rules by the
Worker's name go on as they are; rules by its whole SPIFFE ID have to name both.

Examples:
  $ countersign identity environments
  $ countersign identity environments on`,
    )
    .action(async (state: "on" | "off" | undefined, options: { data?: string; json?: true }) => {
      const api = await apiClient(io, options);
      const { result } =
        state === undefined
          ? await api.call<Settings>("GET", path)
          : await api.call<Settings>("PATCH", path, { environments: state === "on" });
      if (options.json) return writeJson(io.stdout, result);
      writeLine(io.stdout, result.environments ? "on" : "off");
    });
}
