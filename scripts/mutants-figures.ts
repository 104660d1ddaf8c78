/** The table of what mutation testing has measured, a row a file, with a row a room above them. */

export interface Count {
  /** Of those that say something: not what does not start at all. */
  readonly all: number;
  readonly killed: number;
}

export interface Figure extends Count {
  /** From the root: `src/keys/seal.ts`. */
  readonly file: string;
  /** YYYY-MM-DD */
  readonly date: string;
}

/** Of the schema of mutation testing's reports. */
export interface Mutants {
  readonly mutants: readonly { readonly status: string }[];
}

const KILLED: ReadonlySet<string> = new Set(["Killed", "Timeout"]);
const ALIVE: ReadonlySet<string> = new Set(["Survived", "NoCoverage"]);

export function countOf(mutants: Mutants["mutants"]): Count {
  const killed = mutants.filter(({ status }) => KILLED.has(status)).length;
  const alive = mutants.filter(({ status }) => ALIVE.has(status)).length;
  return { all: killed + alive, killed };
}

/** `text`, which ends with the table: `figure` is in the place of what the file had there before. */
export function withFigures(text: string, figure: Figure): string {
  const start = text.search(/^\| file +\| mutants +\|/m);
  if (start === -1) throw new Error("there is no table of figures");
  const known = new Map(figuresIn(text.slice(start)).map((one) => [one.file, one]));
  known.set(figure.file, figure);
  return text.slice(0, start) + table([...known.values()]);
}

const HEAD = "| file | mutants | killed | share | measured |";

function figuresIn(text: string): Figure[] {
  return [...text.matchAll(ROW)].map(([, file, all, killed, date]) => ({
    file: file!,
    all: Number(all),
    killed: Number(killed),
    date: date!,
  }));
}

/** A file's: a room's has no date. */
const ROW = /^\| `([^`]+\.ts)` +\| (\d+) +\| (\d+) +\| [^|]*\| ([\d-]{10}) +\|$/gm;

function table(figures: readonly Figure[]): string {
  const rooms = Map.groupBy(
    figures.toSorted((one, other) => (one.file < other.file ? -1 : 1)),
    ({ file }) => roomOf(file),
  );
  const rows = [...rooms].flatMap(([room, files]) => {
    const sum = (count: (one: Figure) => number): number =>
      files.reduce((total, one) => total + count(one), 0);
    const whole = { all: sum(({ all }) => all), killed: sum(({ killed }) => killed) };
    return [
      row(`**\`${room}\`**`, whole, ""),
      ...files.map((one) => row(`\`${one.file}\``, one, one.date)),
    ];
  });
  return `${HEAD}\n| --- | --- | --- | --- | --- |\n${rows.join("\n")}\n`;
}

function roomOf(file: string): string {
  return /^src\/(?:control\/)?[^/]+\//.exec(file)?.[0] ?? "src/";
}

function row(name: string, { all, killed }: Count, date: string): string {
  const share = all === 0 ? "" : `${Math.floor((100 * killed) / all)} %`;
  return `| ${name} | ${all} | ${killed} | ${share} | ${date} |`;
}
