import type { KyselyPlugin } from "kysely";

/**
 * Lets nothing but `select` through: whatever changes the store has to go through its `write`,
 * where it is written down who did it.
 */
export const readOnly: KyselyPlugin = {
  transformQuery: ({ node }) => {
    if (node.kind === "SelectQueryNode") return node;
    throw new Error(`${node.kind}: the store is changed by its write() alone`);
  },
  transformResult: ({ result }) => Promise.resolve(result),
};
