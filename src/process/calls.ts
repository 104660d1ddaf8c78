/** The calls of a process: method, arguments, result. */
export type Methods<M> = { [K in keyof M]: (...args: never[]) => unknown };

/** The same in the process, which may take its time. */
export type MethodHandlers<M extends Methods<M>> = {
  [K in keyof M]: (...args: Parameters<M[K]>) => ReturnType<M[K]> | Promise<ReturnType<M[K]>>;
};

/** How each method of a process may be asked. */
export type CallRules<M> = { readonly [K in keyof M]: CallRule };

export interface CallRule {
  /**
   * How many processes are asked, one after the other, if each ends before it has answered. At
   * least one, and never without a bound: what is asked may be what ended them.
   */
  readonly tries: number;
  /** ms for the answer, restarts included. Infinity: as long as the process is alive. */
  readonly deadline: number;
}

/** The state that every process has to have. The seconds allow for a busy machine. */
export const STATE: CallRule = { tries: 3, deadline: 30_000 };

/** The caller may ask again. The deadline says how long a call may take. */
export function question(deadline: number): CallRule {
  return { tries: 1, deadline };
}
