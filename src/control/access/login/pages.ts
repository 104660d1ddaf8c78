import { html } from "hono/html";
import { readFileSync } from "node:fs";
import type { Role, Scope } from "../../api/scopes.ts";
import { scopeMeanings } from "../../api/scopes.ts";
import { wranglerClient, wranglerPages } from "./client.ts";

export interface HtmlPage {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

type Html = ReturnType<typeof html>;

const stylePath = "/oauth2/login.css";

/** The pages' style sheet: its path and its content. */
export const styleSheet: { readonly path: string; readonly body: string } = {
  path: stylePath,
  body: readFileSync(new URL("../../../../assets/login/login.css", import.meta.url), "utf8"),
};

/**
 * Allows only these pages' own style sheet, and forms that lead to us, from there to wrangler's listener, and on to its
 * closing page: browsers apply the policy to every redirect.
 */
const policy = [
  "default-src 'none'",
  "style-src 'self'",
  `form-action 'self' ${new URL(wranglerClient.redirect_uris[0]).origin} http://127.0.0.1:* ${wranglerPages}`,
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join("; ");

export function signInPage(options: {
  readonly action: string;
  /** Name of the client that asks. */
  readonly client: string;
  readonly email?: string;
  /** Why the last try failed. Absent: this is the first. */
  readonly problem?: string;
}): Promise<HtmlPage> {
  const { action, client, email = "", problem } = options;
  return page(
    "Sign in",
    html`<h1>Sign in</h1>
      <p>to continue to <strong>${client}</strong></p>
      ${problem === undefined ? "" : html`<p class="problem" role="alert">${marked(problem)}</p>`}
      <form method="post" action="${action}">
        <label for="email">E-mail address</label>
        <input
          id="email"
          name="email"
          type="email"
          autocomplete="username"
          value="${email}"
          required
          ${email === "" ? "autofocus" : ""}
        />
        <label for="password">Password</label>
        <input
          id="password"
          name="password"
          type="password"
          autocomplete="current-password"
          maxlength="256"
          required
          ${email === "" ? "" : "autofocus"}
        />
        <div class="buttons"><button type="submit">Sign in</button></div>
      </form>`,
  );
}

/** The page after the right password, for a person with an authenticator app. */
export function codePage(options: {
  readonly action: string;
  /** Why the last try failed. Absent: this is the first. */
  readonly problem?: string;
}): Promise<HtmlPage> {
  const { action, problem } = options;
  return page(
    "Sign in",
    html`<h1>One more step</h1>
      <p>Type the code that your authenticator app shows, or a recovery code.</p>
      ${problem === undefined ? "" : html`<p class="problem" role="alert">${marked(problem)}</p>`}
      <form method="post" action="${action}">
        <label for="code">Code</label>
        <input
          id="code"
          name="code"
          autocomplete="one-time-code"
          maxlength="40"
          required
          autofocus
        />
        <div class="buttons"><button type="submit">Sign in</button></div>
      </form>`,
  );
}

export interface Consent {
  readonly action: string;
  /** Name of the client that asks. */
  readonly client: string;
  readonly email: string;
  readonly accounts: readonly { readonly name: string; readonly role: Role }[];
  /** The scopes that the login will have, given the person's roles. */
  readonly scopes: readonly Scope[];
  /** Scopes that were asked for but that none of the person's roles allows. */
  readonly withheld: readonly Scope[];
  /** Scopes of products that Countersign does not have. */
  readonly foreign: readonly string[];
}

export function consentPage(consent: Consent): Promise<HtmlPage> {
  const { action, client, email, accounts, scopes, withheld, foreign } = consent;
  return page(
    "Allow access",
    html`<h1>Let ${client} act for you?</h1>
      <p>
        You are <strong>${email}</strong>,
        ${list(accounts.map(({ name, role }) => html`${article(role)} of <strong>${name}</strong>`))}.
      </p>
      <h2>It will be able to</h2>
      <ul class="scopes">
        ${scopes.map((scope) => html`<li>${scopeMeanings[scope]} <code>${scope}</code></li>`)}
      </ul>
      ${withheld.length === 0 ? "" : aside(`Asked for, but beyond your role: ${withheld.length}`, withheld)}
      ${
        foreign.length === 0 ? "" : aside(`Asked for, but nothing here: ${foreign.length}`, foreign)
      }
      <form method="post" action="${action}">
        <div class="buttons">
          <button type="submit" name="decision" value="allow">Allow</button>
          <button type="submit" name="decision" value="deny" class="quiet">Deny</button>
        </div>
      </form>
      <p class="note">
        Somebody ran <code>wrangler login</code>. If that was not you, on this computer, deny.
      </p>`,
  );
}

export function errorPage(problem: string): Promise<HtmlPage> {
  return page(
    "Sign-in failed",
    html`<h1>That did not work</h1>
      <p class="problem" role="alert">${marked(problem)}</p>
      <p>Go back to the terminal and run <code>wrangler login</code> again.</p>`,
  );
}

async function page(title: string, main: Html | Promise<Html>): Promise<HtmlPage> {
  const body = await html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title} · Countersign</title>
        <link rel="stylesheet" href="${stylePath}" />
      </head>
      <body>
        <main>
          <p class="name">Countersign</p>
          ${main}
        </main>
      </body>
    </html>`;
  return {
    body: body.toString(),
    headers: {
      "content-security-policy": policy,
      "cache-control": "no-store",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
    },
  };
}

function aside(summary: string, names: readonly string[]): Html | Promise<Html> {
  return html`<details>
    <summary>${summary}</summary>
    <p>${names.map((name, index) => html`${index > 0 ? ", " : ""}<code>${name}</code>`)}</p>
  </details>`;
}

function list(items: readonly (Html | Promise<Html>)[]): (Html | Promise<Html>)[] {
  return items.map((item, index) => {
    const before = index === 0 ? "" : index === items.length - 1 ? " and " : ", ";
    return html`${before}${item}`;
  });
}

/** Text between backticks becomes code. */
function marked(text: string): (string | Html | Promise<Html>)[] {
  return text
    .split("`")
    .map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : part));
}

function article(role: Role): string {
  return role === "admin" ? "an admin" : `a ${role}`;
}
