/** Resolves at Ctrl-C or SIGTERM, or once `other` does. A second signal ends the process at once. */
export async function untilStopped(other?: Promise<unknown>): Promise<void> {
  const stopped = Promise.withResolvers<void>();
  const stop = (): void => stopped.resolve();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    await Promise.race([stopped.promise, ...(other ? [other] : [])]);
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}
