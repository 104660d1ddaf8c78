import { relative } from "node:path";
import type { Colors } from "../../terminal/io.ts";
import { Failure } from "../../failures/failures.ts";
import type { PeerFacts } from "../../gateway/origin/peer.ts";
import { calledBy } from "../../certificates/shown.ts";
import type { ChosenCertificate } from "../certificates.ts";
import type { OnFailure } from "../gateway.ts";
import { describeError, expiryWithDate, describeFailure } from "../say.ts";

/**
 * Explains each failure once, in the developer's terminal. It is explained again after its certificate has changed,
 * because then it may mean something else.
 */
export class FailureReporter {
  readonly #write: (text: string) => void;
  readonly #colors: Colors;
  readonly #folder: string;
  readonly #presented = new Map<string, ChosenCertificate>();
  readonly #said = new Set<string>();

  constructor(write: (text: string) => void, colors: Colors, folder: string) {
    this.#write = write;
    this.#colors = colors;
    this.#folder = folder;
  }

  presents(chosen: ChosenCertificate): void {
    this.#presented.set(chosen.binding, chosen);
    this.#said.clear();
  }

  readonly onFailure: OnFailure = (failure, { bindingName }, origin) => {
    const key = `${bindingName} ${failure.code} ${origin}`;
    if (this.#said.has(key)) {
      return;
    }
    this.#said.add(key);
    const client = this.#presented.get(bindingName);
    const theirs = failure.facts["origin"] as PeerFacts | undefined;
    this.#write(
      describeFailure(
        failure,
        {
          binding: bindingName,
          client: client && describeClient(client),
          origin: theirs && typeof theirs === "object" ? describePeer(theirs) : undefined,
          fix: this.#fix(failure, bindingName),
        },
        this.#colors,
      ),
    );
  };

  /** A changed file is not usable. @param still the certificate that stays in force */
  problem(error: unknown, still?: ChosenCertificate): void {
    this.#write(
      error instanceof Failure
        ? describeFailure(error, {}, this.#colors)
        : `${this.#colors.red("✘")} ${describeError(error)}`,
    );
    if (still === undefined) return;
    const name = this.#colors.cyan(still.binding);
    this.#write(`  ${name} still presents ${calledBy(still.facts)} (${still.label})`);
  }

  /** The command, or the line of countersign.json, that fixes exactly this case. */
  #fix(failure: Failure, binding: string): string | undefined {
    const { host, port } = failure.facts;
    const file = relative(process.cwd(), this.#folder) || ".";
    switch (failure.code) {
      case "origin_certificate_self_signed":
        return `Put the origin's certificate into ${file}/countersign.json: {"ca": "origin.pem"}. It is read at once.`;
      case "origin_certificate_unknown_ca":
        return `Put the origin's CA into ${file}/countersign.json: {"ca": "ca.pem"}. It is read at once.`;
      case "origin_refused":
      case "origin_name_not_found":
        return host === "localhost"
          ? `Start the origin, or a stand-in: \`countersign dev origin --port ${String(port)}\`.`
          : `Start a stand-in with \`countersign dev origin --name ${String(host)}\`, and lead there with {"hosts": {"${String(host)}": "localhost:8443"}} in ${file}/countersign.json.`;
      case "origin_refused_certificate_ca":
      case "origin_refused_certificate_unknown":
      case "origin_closed_first_read":
        return `Give the certificate that this origin expects: \`countersign dev --cert ${binding}=cert.pem,key.pem\`.`;
      case "origin_refused_certificate_expired":
      case "certificate_expired":
        return `Renew the certificate's files: they are read at once. Or give others: \`countersign dev --cert ${binding}=cert.pem,key.pem\`.`;
      default:
        return undefined;
    }
  }
}

function describeClient({ facts, label }: ChosenCertificate): string {
  return `${calledBy(facts)}, from ${facts.issuer} (${label}), ${expiryWithDate(facts.notAfter, new Date())}`;
}

function describePeer({ subject, issuer, names, notAfter }: PeerFacts): string {
  const expiry = expiryWithDate(new Date(notAfter), new Date());
  return `${calledBy({ subject, names })}, from ${issuer || "an issuer without a name"}, for ${names.join(", ") || "no name"}, ${expiry}`;
}
