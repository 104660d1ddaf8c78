import {
  OperationNodeTransformer,
  type KyselyPlugin,
  type PluginTransformQueryArgs,
  type PluginTransformResultArgs,
  type PrimitiveValueListNode,
  type QueryResult,
  type RootOperationNode,
  type UnknownRow,
  type ValueNode,
} from "kysely";

/**
 * Columns that hold lists and objects, in every table that has one of these names. They are JSON
 * text in the database, and values everywhere else. What is hashed or sealed as it stands (`body`,
 * `payload`, `files`) stays text.
 */
const columns: ReadonlySet<string> = new Set([
  "allowedHosts",
  "annotations",
  "compatibilityFlags",
  "domains",
  "hosts",
  "limits",
  "names",
  "policies",
  "publicKey",
  "requestIp",
  "rules",
  "scopes",
  "settings",
  "spiffeIds",
  "tags",
  "warnings",
]);

/** Writes lists and objects as JSON, and reads the columns above. It comes after `CamelCasePlugin`. */
export class JsonColumns implements KyselyPlugin {
  readonly #writer = new JsonWriter();

  transformQuery({ node, queryId }: PluginTransformQueryArgs): RootOperationNode {
    // Nothing is compared with a list or an object: only what is written may have one.
    const writes = node.kind === "InsertQueryNode" || node.kind === "UpdateQueryNode";
    return writes ? this.#writer.transformNode(node, queryId) : node;
  }

  async transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    const [first] = result.rows;
    // All rows of an answer have the same columns.
    const names = Object.keys(first ?? {}).filter((name) => columns.has(name));
    return names.length === 0 ? result : { ...result, rows: result.rows.map(reader(names)) };
  }
}

class JsonWriter extends OperationNodeTransformer {
  protected override transformValue(node: ValueNode): ValueNode {
    return { ...super.transformValue(node), value: written(node.value) };
  }

  protected override transformPrimitiveValueList(
    node: PrimitiveValueListNode,
  ): PrimitiveValueListNode {
    return { ...super.transformPrimitiveValueList(node), values: node.values.map(written) };
  }
}

function written(value: unknown): unknown {
  const isJson = typeof value === "object" && value !== null && !ArrayBuffer.isView(value);
  return isJson ? JSON.stringify(value) : value;
}

function reader(names: readonly string[]): (row: UnknownRow) => UnknownRow {
  return (row) => {
    const read = { ...row };
    for (const name of names) {
      const text = row[name];
      if (typeof text === "string") read[name] = JSON.parse(text);
    }
    return read;
  };
}
