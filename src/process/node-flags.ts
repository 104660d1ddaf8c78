/**
 * Flags for Node in processes that only forward. Bodies pass through as buffers outside of V8's
 * heap. With a large young generation, dead buffers pile up until V8 collects the whole heap; with
 * a small one, they are freed soon. It takes a sixth to a third less CPU for 1 MiB bodies and 45 MB
 * less memory. See decisions/0020-node-flags-of-forwarders.md.
 *
 * Once V8 has collected the whole heap, as it does after a pause, it would do so again for each few
 * MB of bodies, for they count as growth. It waits until the heap is three times what it was after
 * the last time. See decisions/0097-large-bodies-and-handshakes.md.
 *
 * V8 makes objects of a kind that often outlived collections in the old generation at once. With so
 * small a young generation it does so with parts of requests, which are garbage soon, and then all
 * that they refer to stays until the whole heap is collected. See
 * decisions/0109-objects-made-old.md.
 *
 * A collection of so small a young generation is done before other threads could help. See
 * decisions/0108-garbage-of-requests.md.
 */
export const FORWARDER_FLAGS: readonly string[] = [
  "--max-semi-space-size=4",
  "--heap-growing-percent=200",
  "--no-allocation-site-pretenuring",
  "--no-parallel-scavenge",
  "--no-concurrent-array-buffer-sweeping",
];
