/** The gateway process, but a signal makes it throw where nothing catches it. */
import "../../src/gateway/main.ts";

process.on("SIGUSR2", () => {
  throw new Error("thrown by a test");
});
