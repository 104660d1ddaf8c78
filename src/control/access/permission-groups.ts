import type { Scope } from "../api/scopes.ts";

export interface PermissionGroup {
  /** The same id as at Cloudflare, so that existing configurations mean the same here. */
  readonly id: string;
  readonly name: string;
  readonly resource: "account" | "account.zone" | "user";
  readonly scope: Scope;
}

const table: readonly (readonly [Scope, string, string, PermissionGroup["resource"]])[] = [
  ["account:read", "c1fde68c7bcc44588cbb6ddbc16d6480", "Account Settings Read", "account"],
  ["user:read", "8acbe5bb0d54464ab867149d7f7cf8ac", "User Details Read", "user"],
  ["account:read", "3518d0f75557482e952c6762d3e64903", "Memberships Read", "user"],
  ["zone:read", "c8fed203ed3043cba015a93ad1616f1f", "Zone Read", "account.zone"],
  [
    "ssl_certs:read",
    "a7a233f9604845c787d4c8c39ac09c21",
    "Account: SSL and Certificates Read",
    "account",
  ],
  [
    "ssl_certs:write",
    "db37e5f1cb1a4e1aabaef8deaea43575",
    "Account: SSL and Certificates Write",
    "account",
  ],
  ["workers_scripts:read", "1a71c399035b4950a1bd1466bbe4f420", "Workers Scripts Read", "account"],
  ["workers_scripts:write", "e086da7e2179491d91ee5f35b3ca210a", "Workers Scripts Write", "account"],
  [
    "workers_routes:read",
    "2072033d694d415a936eaeb94e6405b8",
    "Workers Routes Read",
    "account.zone",
  ],
  [
    "workers_routes:write",
    "28f4b596e7d643029c524985477ae49a",
    "Workers Routes Write",
    "account.zone",
  ],
  ["api_tokens:read", "0cc3a61731504c89b99ec1be78b77aa0", "API Tokens Read", "user"],
  ["api_tokens:write", "686d18d5ac6c441c867cbf6771e58a0a", "API Tokens Write", "user"],
  ["auditlogs:read", "b05b28e839c54467a7d6cba5d3abb5a3", "Access: Audit Logs Read", "account"],
];

export const permissionGroups: readonly PermissionGroup[] = table.map(
  ([scope, id, name, resource]) => ({ scope, id, name, resource }),
);

/** `com.cloudflare.api.account`, `….account.zone`, `com.cloudflare.api.user` */
export function resourceName(resource: PermissionGroup["resource"]): string {
  return `com.cloudflare.api.${resource}`;
}
