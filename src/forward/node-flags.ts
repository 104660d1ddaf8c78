/**
 * How Node is run where all a process does is forward. Bodies pass through as buffers outside of
 * V8's heap, and V8 collects the whole heap each time they have doubled it: in a small heap that
 * is many times a second, for nothing. A large one from the start takes 1 MiB bodies with 40 % less
 * CPU; a small young generation saves 40 MB and costs nothing that could be measured. See
 * decisions/0020-node-flags-of-forwarders.md.
 */
export const FORWARDER_FLAGS: readonly string[] = [
  "--max-semi-space-size=4",
  "--initial-old-space-size=128",
];
