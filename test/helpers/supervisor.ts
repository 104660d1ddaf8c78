/** An edge in a process of its own, to be killed. */
import { pino } from "pino";
import { startEdge } from "../../src/edge/start-edge.ts";
import { answering } from "./edge.ts";
import { makeVersion, MASTER_KEY, TestSource } from "./source.ts";

const source = new TestSource();
source.deploy(makeVersion("orphan", answering("orphan")));
const edge = await startEdge({
  source,
  masterKey: MASTER_KEY,
  runDirectory: process.argv[2]!,
  httpPort: 0,
  log: pino({ level: "silent" }),
  gateway: { logLevel: "silent" },
});
const { gateway, ingress, workers } = edge.status();
process.send!({ pids: [gateway.pid, ingress.pid, ...workers.map(({ pid }) => pid)] });
