import {
  type CompiledQuery,
  createQueryId,
  type DatabaseConnection,
  type Dialect,
  DummyDriver,
  type QueryExecutor,
  type QueryResult,
  Transaction,
  type UnknownRow,
} from "kysely";
import type { Tables } from "../schema.ts";
import { RowRecorder } from "./row-recorder.ts";

/**
 * The same transaction with a recorder, which is shown each guarded row before it is changed, and
 * after: so the log says of both.
 */
export function recorded(
  transaction: Transaction<Tables>,
  dialect: Dialect,
): { readonly db: Transaction<Tables>; readonly recorder: RowRecorder } {
  const recorder = new RowRecorder();
  const plain = transaction.getExecutor();
  const executor = plain.withPlugin(recorder).withConnectionProvider({
    provideConnection: (consumer, options) =>
      plain.provideConnection(
        (connection) => consumer(new ShowingConnection(connection, plain, recorder)),
        options,
      ),
  });
  // A transaction uses its executor alone; Kysely has no shorter word for one with another.
  const props = { config: { dialect }, dialect, driver: new DummyDriver(), executor };
  return { db: new Transaction<Tables>(props), recorder };
}

class ShowingConnection implements DatabaseConnection {
  readonly #connection: DatabaseConnection;
  readonly #plain: QueryExecutor;
  readonly #recorder: RowRecorder;

  constructor(connection: DatabaseConnection, plain: QueryExecutor, recorder: RowRecorder) {
    this.#connection = connection;
    this.#plain = plain;
    this.#recorder = recorder;
  }

  async executeQuery<R>(compiled: CompiledQuery): Promise<QueryResult<R>> {
    const before = this.#recorder.queryBefore(compiled.queryId);
    if (before !== null) {
      const queryId = createQueryId();
      let result = await this.#connection.executeQuery<UnknownRow>(
        this.#plain.compileQuery(before, queryId),
      );
      for (const plugin of this.#plain.plugins) {
        result = await plugin.transformResult({ result, queryId });
      }
      this.#recorder.saw(compiled.queryId, result.rows);
    }
    return this.#connection.executeQuery<R>(compiled);
  }

  streamQuery<R>(
    compiled: CompiledQuery,
    chunkSize: number,
  ): AsyncIterableIterator<QueryResult<R>> {
    return this.#connection.streamQuery<R>(compiled, chunkSize);
  }
}
