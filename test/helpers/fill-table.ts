import type { TestControl } from "./control.ts";

/** Rows of an account, written past the API's own checks: for what an account may have at most. */
export async function fillTable(
  { accountId, store }: TestControl,
  table: string,
  count: number,
  row: (i: number) => object,
): Promise<void> {
  const rows = Array.from({ length: count }, (_, i) => ({ accountId, ...row(i) }));
  await store.write(async ({ db }) => {
    for (let at = 0; at < rows.length; at += 500) {
      const some = rows.slice(at, at + 500);
      await db
        .insertInto(table as never)
        .values(some)
        .execute();
    }
    const by = { kind: "system", id: null, email: "test@localhost", address: null } as const;
    const resource = { type: "test", id: table };
    return { value: null, audit: { by, action: "access.filled", accountId, resource } };
  });
}
