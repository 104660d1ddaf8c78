declare module "oidc-provider/lib/provider.js" {
  export { Provider } from "oidc-provider";
}

declare module "oidc-provider/lib/helpers/errors.js" {
  export class OIDCProviderError extends Error {
    readonly allow_redirect: boolean;
    constructor(status: number, message: string);
  }

  export class InvalidGrant extends OIDCProviderError {
    constructor(detail: string);
  }
}
