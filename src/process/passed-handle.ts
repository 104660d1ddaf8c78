/**
 * A socket of the system's as an argument of a call, the last one: the process that is called gets a
 * descriptor of its own for it.
 */
export class PassedHandle {
  readonly handle: object;

  constructor(handle: object) {
    this.handle = handle;
  }
}
