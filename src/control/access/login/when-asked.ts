import type { createLogin } from "./app.ts";

type Login = ReturnType<typeof createLogin>;

/**
 * The sign-in pages, for the first who asks: the OAuth server is a fifth of what a start would load,
 * and most who start a platform have a token.
 */
export function loginWhenAsked(context: Parameters<typeof createLogin>[0]): () => Promise<Login> {
  let login: Promise<Login> | null = null;
  return async () => {
    login ??= import("./app.ts").then((module) => module.createLogin(context));
    try {
      return await login;
    } catch (error) {
      // The next one tries again.
      login = null;
      throw error;
    }
  };
}
