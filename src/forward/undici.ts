import { createRequire } from "node:module";

type Undici = typeof import("undici");

const require = createRequire(import.meta.url);

/*
 * What the processes of a platform need of undici. Its index loads everything else as well, such as fetch, caches and mocks: 4 MB
 * and 30 ms of each of them. The paths are those of the version that package.json pins.
 */
export const Agent: Undici["Agent"] = require("undici/lib/dispatcher/agent.js");
export type Agent = InstanceType<Undici["Agent"]>;
export const Client: Undici["Client"] = require("undici/lib/dispatcher/client.js");
export const Pool: Undici["Pool"] = require("undici/lib/dispatcher/pool.js");
export type Pool = InstanceType<Undici["Pool"]>;
export const makeConnector: Undici["buildConnector"] = require("undici/lib/core/connect.js");
export const errors: Undici["errors"] = require("undici/lib/core/errors.js");

const dispatcher: Undici["Dispatcher"] = require("undici/lib/dispatcher/dispatcher.js");
// `dispatcher.request()`: undici's index adds it in the same way.
Object.assign(dispatcher.prototype, require("undici/lib/api/index.js"));
