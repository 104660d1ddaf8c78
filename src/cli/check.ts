/** One finding of `doctor`. */
export interface Check {
  readonly name: string;
  readonly result: "ok" | "warning" | "wrong";
  readonly finding: string;
  /** Shown in red although it is no fault: somebody chose an unsafe setting. */
  readonly unsafe?: true;
  readonly fix?: string;
}
