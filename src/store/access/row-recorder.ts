import {
  AndNode,
  BinaryOperationNode,
  CamelCasePlugin,
  ColumnNode,
  DeleteResult,
  InsertResult,
  type KyselyPlugin,
  type OperationNode,
  OperatorNode,
  OrNode,
  ParensNode,
  type PluginTransformQueryArgs,
  type PluginTransformResultArgs,
  type PrimitiveValueListNode,
  type QueryId,
  type QueryResult,
  ReturningNode,
  type RootOperationNode,
  SelectionNode,
  SelectQueryNode,
  TableNode,
  type UnknownRow,
  UpdateResult,
  type ValueListNode,
  ValueNode,
  WhereNode,
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
  /** What each row held that the transaction has come to, before it did. Null: it was not there. */
  readonly #before = new Map<string, string | null>();

  /** What each row that was changed holds now, and held before. */
  get rows(): readonly LoggedRow[] {
    return [...this.#changed.values()];
  }

  /** Finds the rows that a query is about to change. Null: it changes none that were there. */
  queryBefore(queryId: QueryId): SelectQueryNode | null {
    const begun = this.#begun.get(queryId);
    return begun === undefined ? null : beforeChange(begun.change, begun.guarded);
  }

  /** @param rows of `queryBefore` */
  saw(queryId: QueryId, rows: readonly UnknownRow[]): void {
    const { guarded } = this.#begun.get(queryId)!;
    for (const row of rows) this.#held(guarded, keyOf(guarded, row), digestOf(guarded, row));
  }

  /** The first time counts. */
  #held({ table }: Guard, key: string, digest: string | null): string | null {
    const id = `${table}/${key}`;
    if (!this.#before.has(id)) this.#before.set(id, digest);
    return this.#before.get(id)!;
  }

  transformQuery({ node, queryId }: PluginTransformQueryArgs): RootOperationNode {
    if (!isChange(node)) return node;
    const guarded = byTable.get(tableOf(node));
    if (guarded === undefined) return node;
    this.#begun.set(queryId, { guarded, change: node });
    const selections = selectionsOf(guarded);
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
      const before = this.#held(guarded, key, null);
      this.#changed.set(`${guarded.table}/${key}`, [guarded.table, key, digest, before]);
    }
    // Who asked for no rows gets the number of them, as always.
    return change.returning ? result : { ...result, rows: [countOf(change, result)] };
  }
}

function selectionsOf(guarded: Guard): readonly SelectionNode[] {
  return columnsOf(guarded).map((name) => SelectionNode.create(ColumnNode.create(snakeCase(name))));
}

function beforeChange(change: Change, guarded: Guard): SelectQueryNode | null {
  const where = change.kind === "InsertQueryNode" ? keysOf(change, guarded) : change.where;
  if (where === null) return null;
  const table = TableNode.create(snakeCase(guarded.table));
  const select = SelectQueryNode.cloneWithSelections(
    SelectQueryNode.createFrom([table], change.with),
    selectionsOf(guarded),
  );
  return where === undefined ? select : { ...select, where };
}

/** The rows that an insert may replace. Null: it replaces none. */
function keysOf(
  { onConflict, columns = [], values }: Extract<Change, { kind: "InsertQueryNode" }>,
  { key }: Guard,
): WhereNode | undefined | null {
  if (onConflict?.updates === undefined) return null;
  const places = key.map((name) => {
    const column = snakeCase(name);
    return [column, columns.findIndex((one) => one.column.name === column)] as const;
  });
  const rows = (values as { readonly values?: readonly (PrimitiveValueListNode | ValueListNode)[] })
    .values;
  const sames = rows?.map((row) =>
    places
      .map(([column, place]): OperationNode => {
        const value = row.values[place];
        return BinaryOperationNode.create(
          ColumnNode.create(column),
          OperatorNode.create("="),
          row.kind === "ValueListNode" ? (value as OperationNode) : ValueNode.create(value),
        );
      })
      .reduce((left, right) => AndNode.create(left, right)),
  );
  if (sames === undefined || sames.length === 0) return undefined;
  return WhereNode.create(
    sames.reduce((left, right) => ParensNode.create(OrNode.create(left, right))),
  );
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
