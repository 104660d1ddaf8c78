import type { createLogin } from "./app.ts";

type Login = ReturnType<typeof createLogin>;

/**
 * Loads the sign-in pages at their first request: the OAuth server is a fifth of what a start would load, and most
 * people who start a platform have a token.
 */
export function loginWhenAsked(context: Parameters<typeof createLogin>[0]): () => Promise<Login> {
  let login: Promise<Login> | null = null;
  return async () => {
    login ??= import("./app.ts").then((module) => module.createLogin(context));
    try {
      return await login;
    } catch (error) {
      // After a failure, the next request loads it again.
      login = null;
      throw error;
    }
  };
}
