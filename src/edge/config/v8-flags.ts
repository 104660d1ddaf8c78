/**
 * `--initial-old-space-size`: V8 does not count what workerd keeps for each request and each message of a WebSocket, a kilobyte, and
 * collects only when its own heap has grown by tens of megabytes. A Worker was ended for its memory by 230,000 messages
 * of a byte. See decisions/0116-garbage-that-v8-does-not-count.md.
 *
 * `--optimize-for-size`, measured at 16 connections: without it, collections of the C++ heap hold requests up for 200 ms
 * at p99; with it 13 ms, at the same throughput. `--cppgc-young-generation` reaches 5 ms, but takes
 * a fifth of the throughput.
 */
export const V8_FLAGS: readonly string[] = ["--optimize-for-size", "--initial-old-space-size=1"];
