import { InvalidArgumentError, type Command } from "commander";
import type { Io } from "../../terminal/io.ts";
import { completions, type Shell } from "../completions.ts";

export function addCompletionCommand(
  program: Command,
  io: Io,
  everything: () => Promise<Command>,
): void {
  program
    .command("completion")
    .argument("<shell>", "bash, zsh or fish", toShell)
    .addHelpText(
      "after",
      `
Examples:
  $ source <(countersign completion bash)                                   # in ~/.bashrc
  $ countersign completion zsh > "\${fpath[1]}/_countersign"
  $ countersign completion fish > ~/.config/fish/completions/countersign.fish`,
    )
    .action(async (shell: Shell) => {
      io.stdout.write(completions(await everything(), shell));
    });
}

function toShell(value: string): Shell {
  if (value === "bash" || value === "zsh" || value === "fish") return value;
  throw new InvalidArgumentError(`"${value}" is none of bash, zsh, fish`);
}
