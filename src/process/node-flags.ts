/**
 * How Node is run where all a process does is forward. Bodies pass through as buffers outside of
 * V8's heap. In a large young generation dead ones pile up until V8 collects the whole heap for
 * them; a small one lets go of them soon. It takes a sixth to a third less CPU for 1 MiB bodies
 * and 45 MB less memory. See decisions/0020-node-flags-of-forwarders.md.
 */
export const FORWARDER_FLAGS: readonly string[] = ["--max-semi-space-size=4"];
