// For NODE_OPTIONS=--import: a signal makes the process throw where nothing catches it.
process.on("SIGUSR2", () => {
  throw new Error("thrown by a test");
});
