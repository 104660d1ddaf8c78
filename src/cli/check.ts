/** What `doctor` found of one thing. */
export interface Check {
  readonly name: string;
  readonly result: "ok" | "warning" | "wrong";
  readonly finding: string;
  readonly fix?: string;
}
