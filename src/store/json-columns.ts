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
]);

/** Writes lists and objects as JSON, and reads the columns above. It comes after `CamelCasePlugin`. */
export class JsonColumns implements KyselyPlugin {
  readonly #writer = new JsonWriter();

  transformQuery({ node, queryId }: PluginTransformQueryArgs): RootOperationNode {
    return this.#writer.transformNode(node, queryId);
  }

  async transformResult({ result }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    return { ...result, rows: result.rows.map(read) };
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

function read(row: UnknownRow): UnknownRow {
  let changed: UnknownRow | null = null;
  for (const [name, value] of Object.entries(row)) {
    if (!columns.has(name) || typeof value !== "string") continue;
    changed ??= { ...row };
    changed[name] = JSON.parse(value);
  }
  return changed ?? row;
}
