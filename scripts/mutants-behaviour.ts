const mysqlTests: readonly string[] = [
  "src/gateway/database/mysql.test.ts",
  "src/gateway/database/mysql-packets.test.ts",
];

const postgresTests: readonly string[] = ["src/gateway/database/postgres.test.ts"];

/**
 * Files whose nearest test is not the one that says what they do. Where they only join others, or
 * start processes and servers, that is a behaviour test: one that ends within some seconds, for it
 * runs for each mutant.
 */
export const otherTests: Readonly<Record<string, readonly string[]>> = {
  "src/gateway/database/mysql.ts": mysqlTests,
  "src/gateway/database/mysql-packets.ts": mysqlTests,
  "src/gateway/database/postgres-messages.ts": postgresTests,
  "src/gateway/database/postgres-sign-in.ts": postgresTests,
  "src/gateway/database/protocol.ts": [...mysqlTests, ...postgresTests],
  "src/forward/exchange.ts": [
    "src/forward/exchange.test.ts",
    "src/forward/exchange-crashes.test.ts",
    "src/forward/forward.test.ts",
    "src/forward/target.test.ts",
  ],
  "src/gateway/binding.ts": ["src/gateway/binding.test.ts", "src/gateway/binding-connect.test.ts"],
  "src/gateway/origin/connection-rules.ts": [
    "src/gateway/origin/connection-rules.test.ts",
    "src/gateway/origin/connection-rules-hostile.test.ts",
  ],
  "src/gateway/mysql.ts": ["src/gateway/mysql.test.ts", "src/gateway/mysql-switch.test.ts"],
  "src/gateway/origin/pool.ts": [
    "src/gateway/origin/pool.test.ts",
    "src/gateway/origin/pools.test.ts",
  ],
  "src/forward/forward.ts": ["src/forward/forward.test.ts", "src/forward/target.test.ts"],
};
