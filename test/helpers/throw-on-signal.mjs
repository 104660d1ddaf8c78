// For NODE_OPTIONS=--import: on a signal the process throws an uncaught exception.
process.on("SIGUSR2", () => {
  throw new Error("thrown by a test");
});
