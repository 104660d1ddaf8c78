/**
 * Files that only join others, or only start processes and servers: what they do is seen in a
 * behaviour test, which runs for each of their mutants. One that ends within some seconds.
 */
export const behaviourTests: Readonly<Record<string, readonly string[]>> = {};
