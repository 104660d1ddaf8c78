import type { KyselyPlugin } from "kysely";

/** Allows only `select`. Changes must use the store's `write`, which logs who made them. */
export const readOnly: KyselyPlugin = {
  transformQuery: ({ node }) => {
    if (node.kind === "SelectQueryNode") return node;
    throw new Error(`${node.kind}: the store is changed by its write() alone`);
  },
  transformResult: ({ result }) => Promise.resolve(result),
};
