/**
 * Files whose nearest test is not the one that says what they do. Where they only join others, or
 * start processes and servers, that is a behaviour test: one that ends within some seconds, for it
 * runs for each mutant.
 */
export const otherTests: Readonly<Record<string, readonly string[]>> = {
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
  "src/gateway/clear.ts": [
    "src/gateway/mysql.test.ts",
    "src/gateway/mysql-switch.test.ts",
    "src/gateway/postgres.test.ts",
  ],
  "src/gateway/mysql.ts": ["src/gateway/mysql.test.ts", "src/gateway/mysql-switch.test.ts"],
  "src/forward/forward.ts": ["src/forward/forward.test.ts", "src/forward/target.test.ts"],
};
