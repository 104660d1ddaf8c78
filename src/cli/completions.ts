import type { Command } from "commander";

export type Shell = "bash" | "zsh" | "fish";

/** A place on the command line, such as `certificate revoke`, and the words that may follow. */
interface Place {
  /** The words so far. An alias is a separate place. */
  readonly words: readonly string[];
  readonly commands: readonly Choice[];
  readonly options: readonly Choice[];
}

interface Choice {
  readonly name: string;
  readonly about: string;
}

/** A script that completes every command and option of `program` in a shell. */
export function completions(program: Command, shell: Shell): string {
  const places = placesOf(program, []);
  return { bash, zsh, fish }[shell](places);
}

function placesOf(command: Command, words: readonly string[]): readonly Place[] {
  const commands = command.commands.map((one) => ({ name: one.name(), about: one.description() }));
  const options = [...command.options, { long: "--help", hidden: false, description: "help" }]
    .filter(({ long, hidden }) => typeof long === "string" && !hidden)
    .map(({ long, description }) => ({ name: long as string, about: description }));
  const below = command.commands.flatMap((one) =>
    [one.name(), ...one.aliases()].flatMap((name) => placesOf(one, [...words, name])),
  );
  return [{ words, commands, options }, ...below];
}

/** Follows the words on the command line as long as they are commands. */
const walk = (words: string, places: readonly Place[]): string => `
  local at="" word
  for word in ${words}; do
    case "$at/$word" in
      ${places.slice(1).map(pathOf).join("|")}) at="$at/$word" ;;
    esac
  done
  case "$at" in`;

function bash(places: readonly Place[]): string {
  const cases = places.map((place) => {
    const choices = [...place.commands, ...place.options].map(({ name }) => name).join(" ");
    return `    ${quoted(pathOf(place))}) choices=${quoted(choices)} ;;`;
  });
  return `# countersign, for bash
_countersign() {
  local choices=""${walk('"${COMP_WORDS[@]:1:COMP_CWORD-1}"', places)}
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$choices" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _countersign countersign
`;
}

function zsh(places: readonly Place[]): string {
  const cases = places.map((place) => {
    const choices = [...place.commands, ...place.options].map(({ name, about }) =>
      quoted(`${name.replaceAll(":", "\\:")}:${about}`),
    );
    return `    ${quoted(pathOf(place))}) choices=(${choices.join(" ")}) ;;`;
  });
  return `#compdef countersign
_countersign() {
  local -a choices${walk('"${(@)words[2,CURRENT-1]}"', places)}
${cases.join("\n")}
  esac
  _describe countersign choices || _files
}
compdef _countersign countersign
`;
}

function fish(places: readonly Place[]): string {
  const lines = places.flatMap(({ words, commands, options }) => {
    const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`);
    const names = commands.map(({ name }) => name).join(" ");
    const notYet = commands.length > 0 ? [`not __fish_seen_subcommand_from ${names}`] : [];
    const when = quoted([...seen, ...notYet].join("; and ") || "true");
    return [
      ...commands.map(
        ({ name, about }) =>
          `complete -c countersign -f -n ${when} -a ${quoted(name)} -d ${quoted(about)}`,
      ),
      ...options.map(
        ({ name, about }) =>
          `complete -c countersign -n ${when} -l ${quoted(name.slice(2))} -d ${quoted(about)}`,
      ),
    ];
  });
  return `# countersign, for fish\n${lines.join("\n")}\n`;
}

function pathOf({ words }: Place): string {
  return words.map((word) => `/${word}`).join("");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`).replaceAll("\n", " ")}'`;
}
