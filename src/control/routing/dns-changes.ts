import { randomBytes } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import type { Database } from "../../store/database.ts";
import { deleteDnsRecord, listDnsRecords, putDnsRecord } from "../../store/hosts/dns-records.ts";
import type { DnsRecordRow } from "../../store/schema.ts";
import { existingZone } from "./custom-certificates.ts";
import type { RecordContent } from "./dns-record.ts";
import { anothersHosts } from "./host-owners.ts";
import type { Zone } from "./zones.ts";

export interface OpenZone {
  readonly accountId: string;
  readonly zoneId: string | undefined;
  /** How many records the account may have. */
  readonly limit: number;
  readonly now: Date;
}

/** The records of one zone during a transaction that changes them one after the other. */
export class DnsChanges {
  readonly zone: Zone;
  readonly #db: Database;
  readonly #options: OpenZone;
  /** The records of all zones of the account. */
  #all: readonly DnsRecordRow[];
  /** Read once, when the first proxied record comes. */
  #anothers: ((host: string) => boolean) | null = null;

  private constructor(db: Database, zone: Zone, all: readonly DnsRecordRow[], options: OpenZone) {
    this.zone = zone;
    this.#db = db;
    this.#all = all;
    this.#options = options;
  }

  /** @throws Failure if the zone does not exist */
  static async open(db: Database, options: OpenZone): Promise<DnsChanges> {
    const { accountId, zoneId } = options;
    const zone = await existingZone(db, accountId, zoneId);
    return new DnsChanges(db, zone, await listDnsRecords(db, accountId), options);
  }

  /** @throws Failure `dns_record_not_found` */
  find(id: string | undefined): DnsRecordRow {
    const row = this.#all.find((one) => one.id === id && one.zone === this.zone.name);
    if (row !== undefined) return row;
    throw new Failure("dns_record_not_found");
  }

  /** Whether a record with this content exists, with any settings. */
  has({ name, type, content }: RecordContent): boolean {
    return this.#all.some(
      (one) => one.name === name && one.type === type && one.content === content,
    );
  }

  /**
   * @param before the record that is replaced. Null: a record is added
   * @throws Failure `host_origin_taken`, `dns_name_taken`, `dns_record_exists`, `dns_record_identical`,
   * `dns_record_quota`
   */
  async put(before: DnsRecordRow | null, content: RecordContent): Promise<DnsRecordRow> {
    const { accountId, limit } = this.#options;
    const now = this.#options.now.toISOString();
    const row: DnsRecordRow = {
      id: randomBytes(16).toString("hex"),
      accountId,
      zone: this.zone.name,
      createdOn: now,
      ...before,
      ...content,
      modifiedOn: now,
    };
    await this.#refuseConflict(row);
    const others = this.#all.filter(({ id }) => id !== row.id);
    if (before === null && others.length >= limit) {
      throw new Failure("dns_record_quota", { message: `the account has ${limit} DNS records` });
    }
    await putDnsRecord(this.#db, row);
    this.#all = [...others, row];
    return row;
  }

  /** @throws Failure `dns_record_not_found` */
  async delete(id: string | undefined): Promise<DnsRecordRow> {
    const row = this.find(id);
    await deleteDnsRecord(this.#db, row.id);
    this.#all = this.#all.filter((one) => one !== row);
    return row;
  }

  async #isAnothers(host: string): Promise<boolean> {
    this.#anothers ??= await anothersHosts(this.#db, this.#options.accountId);
    return this.#anothers(host);
  }

  async #refuseConflict(row: DnsRecordRow): Promise<void> {
    const { id, name, type } = row;
    if (row.proxied === 1 && (await this.#isAnothers(name))) {
      throw new Failure("host_origin_taken", { message: `"${name}" belongs to another account` });
    }
    const others = this.#all.filter((other) => other.name === name && other.id !== id);
    const same = others.find((other) => other.type === type && other.content === row.content);
    if (same !== undefined) {
      const isIdentical =
        same.proxied === row.proxied && same.ttl === row.ttl && same.comment === row.comment;
      throw new Failure(isIdentical ? "dns_record_identical" : "dns_record_exists", {
        message: `${type} ${name} leads to "${row.content.slice(0, 253)}" already`,
      });
    }
    const addresses = others.filter((other) => other.type !== "TXT");
    if (type === "TXT" || addresses.length === 0) return;
    if (type !== "CNAME" && addresses.every((other) => other.type !== "CNAME")) return;
    throw new Failure("dns_name_taken", {
      message: `"${name}" has ${addresses.map((other) => other.type).join(", ")} already`,
    });
  }
}
