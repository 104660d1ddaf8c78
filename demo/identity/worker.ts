// Runs in workerd: the code of the Workers A, B and C, which differ only in their names.
import { PostgresConnection, type Duplex } from "./wire.ts";

interface Env {
  /** The Worker's identity. */
  readonly ME: {
    fetch(url: string, init: { readonly method: string }): Promise<Response>;
    connect(address: string): Duplex & { close(): Promise<void> };
  };
}

/**
 * `/call?METHOD=…&url=…` calls an API, `/sql?role=…&db=…&sql=…` queries PostgreSQL, both with this Worker's identity.
 */
export default {
  async fetch(request: Request, { ME }: Env): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const asked = (name: string): string => searchParams.get(name) ?? "";
    if (pathname === "/call") {
      const answer = await ME.fetch(asked("url"), { method: asked("method") });
      return new Response(await answer.text(), { status: answer.status });
    }
    const socket = ME.connect(asked("db"));
    try {
      const connection = new PostgresConnection(socket);
      await connection.start(asked("role"));
      return Response.json(await connection.query(asked("sql")));
    } catch (error) {
      return new Response((error as Error).message, { status: 403 });
    } finally {
      await socket.close().catch(() => {});
    }
  },
};
