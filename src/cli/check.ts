/** What `doctor` found of one thing. */
export interface Check {
  readonly name: string;
  readonly result: "ok" | "warning" | "wrong";
  readonly finding: string;
  /** Shown in red though nothing is wrong: somebody chose it. */
  readonly unsafe?: true;
  readonly fix?: string;
}
