/** The gateway process; on a signal it throws an uncaught exception. */
import "../../src/gateway/main.ts";

process.on("SIGUSR2", () => {
  throw new Error("thrown by a test");
});
