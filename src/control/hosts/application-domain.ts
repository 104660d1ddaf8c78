import { Failure } from "../../failures/failures.ts";

const LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?";
const DOMAIN = new RegExp(`^(\\*\\.)?${LABEL}(\\.${LABEL})*$`);

/**
 * The place of an application: a host, or a wildcard for hosts below it, and the beginning of its paths.
 * @throws Failure `access_invalid`, `access_unsupported` for a star that is not at an end
 */
export function applicationDomain(text: string): string {
  const [, host = "", path = ""] = /^([^/]*)(\/.*)?$/s.exec(text.trim()) ?? [];
  const lower = host.toLowerCase().replace(/\.$/, "");
  if (lower.length > 253 || !DOMAIN.test(lower)) {
    throw new Failure("access_invalid", {
      message: `"${text.slice(0, 200)}" is not a domain of an application: a host, with or without a path, and without a scheme or port`,
    });
  }
  const prefix = path.replace(/\/?\*$/, "").replace(/\/+$/, "");
  if (prefix.includes("*")) {
    throw new Failure("access_unsupported", {
      message: `"${text.slice(0, 200)}" has a "*" within its path, which Access does not have here`,
    });
  }
  const isPlain = /^[\x21-\x7e]*$/.test(prefix) && !/[?#%\\]|\/\/|\/\.{1,2}(\/|$)/.test(prefix);
  if (isPlain && prefix.length <= 1024) return lower + prefix;
  throw new Failure("access_invalid", {
    message: `the path of "${text.slice(0, 200)}" is not plain: no query, no "%", no "." or ".." and no empty part`,
  });
}
