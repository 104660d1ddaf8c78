import {
  CamelCasePlugin,
  ColumnNode,
  DeleteResult,
  InsertResult,
  type KyselyPlugin,
  type OperationNode,
  type PluginTransformQueryArgs,
  type PluginTransformResultArgs,
  type QueryResult,
  ReturningNode,
  type RootOperationNode,
  SelectionNode,
  TableNode,
  type UnknownRow,
  UpdateResult,
} from "kysely";
import { columnsOf, digestOf, type Guard, guards, keyOf, type LoggedRow } from "./guarded-rows.ts";

type Change = Extract<
  RootOperationNode,
  { kind: "InsertQueryNode" | "UpdateQueryNode" | "DeleteQueryNode" }
>;

/**
 * Sees which guarded rows a transaction changes, for the audit log. Each change of such a table
 * returns the rows that it changed. What a foreign key removes with another row is not seen: the
 * queries remove it themselves.
 */
export class RowRecorder implements KyselyPlugin {
  readonly #begun = new WeakMap<object, { readonly guarded: Guard; readonly change: Change }>();
  readonly #changed = new Map<string, LoggedRow>();

  /** What each row that was changed holds now. */
  get rows(): readonly LoggedRow[] {
    return [...this.#changed.values()];
  }

  transformQuery({ node, queryId }: PluginTransformQueryArgs): RootOperationNode {
    if (!isChange(node)) return node;
    const guarded = byTable.get(tableOf(node));
    if (guarded === undefined) return node;
    this.#begun.set(queryId, { guarded, change: node });
    const selections = columnsOf(guarded).map((name) =>
      SelectionNode.create(ColumnNode.create(snakeCase(name))),
    );
    const returning = node.returning
      ? ReturningNode.cloneWithSelections(node.returning, selections)
      : ReturningNode.create(selections);
    return { ...node, returning };
  }

  async transformResult({
    result,
    queryId,
  }: PluginTransformResultArgs): Promise<QueryResult<UnknownRow>> {
    const begun = this.#begun.get(queryId);
    if (begun === undefined) return result;
    const { guarded, change } = begun;
    for (const row of result.rows) {
      const key = keyOf(guarded, row);
      const digest = change.kind === "DeleteQueryNode" ? null : digestOf(guarded, row);
      this.#changed.set(`${guarded.table}/${key}`, [guarded.table, key, digest]);
    }
    // Who asked for no rows gets the number of them, as always.
    return change.returning ? result : { ...result, rows: [countOf(change, result)] };
  }
}

function countOf({ kind }: Change, { rows, insertId }: QueryResult<UnknownRow>): UnknownRow {
  const count = BigInt(rows.length);
  const results = {
    InsertQueryNode: () => new InsertResult(insertId, count),
    UpdateQueryNode: () => new UpdateResult(count, undefined),
    DeleteQueryNode: () => new DeleteResult(count),
  };
  return results[kind]() as unknown as UnknownRow;
}

function isChange(node: RootOperationNode): node is Change {
  return ["InsertQueryNode", "UpdateQueryNode", "DeleteQueryNode"].includes(node.kind);
}

function tableOf(node: Change): string {
  let table: OperationNode | undefined;
  if (node.kind === "InsertQueryNode") table = node.into;
  else if (node.kind === "UpdateQueryNode") table = node.table;
  else table = node.from.froms[0];
  return table !== undefined && TableNode.is(table) ? table.table.identifier.name : "";
}

/** The recorder comes after `CamelCasePlugin`: its queries have the database's own names. */
const naming = new (class extends CamelCasePlugin {
  of(name: string): string {
    return this.snakeCase(name);
  }
})();

function snakeCase(name: string): string {
  return naming.of(name);
}

const byTable: ReadonlyMap<string, Guard> = new Map(
  guards.map((guarded) => [snakeCase(guarded.table), guarded]),
);
