/** What a token may do, in Cloudflare's names. A scope that ends in `:write` includes reading. */
export type Scope =
  | "account:read"
  | "user:read"
  | "zone:read"
  | "ssl_certs:read"
  | "ssl_certs:write"
  | "workers_scripts:read"
  | "workers_scripts:write"
  | "workers_routes:read"
  | "workers_routes:write"
  | "api_tokens:read"
  | "api_tokens:write"
  | "auditlogs:read";

/** What each scope allows, in the words of the consent page and the docs. */
export const scopeMeanings: Readonly<Record<Scope, string>> = {
  "account:read": "See the account and who belongs to it",
  "user:read": "See your e-mail address",
  "zone:read": "See the domains that routes are in",
  "ssl_certs:read": "See certificates and CAs, never their keys",
  "ssl_certs:write": "Upload, rotate and delete certificates and CAs",
  "workers_scripts:read": "See Workers, their versions and bindings",
  "workers_scripts:write": "Deploy, change and delete Workers and their secrets",
  "workers_routes:read": "See which hosts lead to which Worker",
  "workers_routes:write": "Change which hosts lead to which Worker",
  "api_tokens:read": "See API tokens, never their values",
  "api_tokens:write": "Make, change and revoke API tokens",
  "auditlogs:read": "Read the audit log",
};

const everyScope = Object.keys(scopeMeanings) as Scope[];

/** Every scope that is not included in another: the scopes of the first token. */
export const allScopes: readonly Scope[] = everyScope.filter(
  (scope) => !everyScope.includes(scope.replace(/:read$/, ":write") as Scope) || isWrite(scope),
);

export type Role = "admin" | "deployer" | "viewer";

/** A deployer can bind existing certificates, but only an admin can add keys. */
export const roleScopes: Readonly<Record<Role, readonly Scope[]>> = {
  admin: allScopes,
  deployer: [
    "account:read",
    "user:read",
    "zone:read",
    "ssl_certs:read",
    "workers_scripts:write",
    "workers_routes:write",
    "api_tokens:write",
  ],
  viewer: [
    "account:read",
    "user:read",
    "zone:read",
    "ssl_certs:read",
    "workers_scripts:read",
    "workers_routes:read",
  ],
};

/** The scopes of a role's token if none are named. A deployer's token cannot make tokens. */
export const tokenScopes: Readonly<Record<Role, readonly Scope[]>> = {
  ...roleScopes,
  deployer: roleScopes.deployer.filter((scope) => !scope.startsWith("api_tokens:")),
};

/** Why a word is refused as a scope. */
export function notAScope(word: string): string {
  return `"${word.slice(0, 100)}" is not a scope; there are ${everyScope.join(", ")}`;
}

export function isScope(name: string): name is Scope {
  return Object.hasOwn(scopeMeanings, name);
}

export function permits(scopes: readonly string[], needed: Scope): boolean {
  return scopes.includes(needed) || scopes.includes(needed.replace(/:read$/, ":write"));
}

/** The scopes that both lists allow. */
export function common(a: readonly string[], b: readonly string[]): Scope[] {
  return everyScope.filter((scope) => permits(a, scope) && permits(b, scope));
}

function isWrite(scope: string): boolean {
  return scope.endsWith(":write");
}
