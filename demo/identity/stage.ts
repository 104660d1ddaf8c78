import type { TestAuthority } from "../../test/helpers/pki.ts";
import type { TestPlatform } from "../../test/helpers/platform.ts";
import type { Api } from "./api.ts";

/** What all parts of the story use. */
export interface Stage {
  readonly platform: TestPlatform;
  readonly folder: string;
  readonly stack: AsyncDisposableStack;
  /** The CA of the origins' own certificates. */
  readonly authority: TestAuthority;
  readonly pair: { readonly cert: string; readonly key: string };
  readonly api: Api;
  /** The Workers' code. */
  readonly code: string;
}
