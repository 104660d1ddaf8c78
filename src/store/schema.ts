import type { AssetsConfig } from "../contract/assets.ts";
import type { Sealed } from "../keys/seal.ts";
import type { SentRules } from "./access/access-rules.ts";

/**
 * The tables, as Kysely sees them: camelCase here, snake_case in SQL. Times are ISO 8601 text in
 * UTC, flags are 0 or 1, bytes are `bytea`, lists and objects are JSON text there and values here
 * (`JsonColumns`): all of it reads the same in SQLite and in PostgreSQL.
 */
export interface Tables {
  accounts: AccountRow;
  users: UserRow;
  memberships: MembershipRow;
  secondFactors: SecondFactorRow;
  recoveryCodes: RecoveryCodeRow;
  tokens: TokenRow;
  oauthRecords: OauthRecordRow;
  auditEntries: AuditEntryRow;
  auditHeads: AuditHeadRow;
  certificates: CertificateRow;
  certificateVersions: CertificateVersionRow;
  certificateActivations: CertificateActivationRow;
  authorityTies: AuthorityTieRow;
  certificateEvents: CertificateEventRow;
  certificateSources: CertificateSourceRow;
  expiryNotices: ExpiryNoticeRow;
  presentedNotices: PresentedNoticeRow;
  webhooks: WebhookRow;
  scripts: ScriptRow;
  scriptVersions: ScriptVersionRow;
  versionModules: VersionModuleRow;
  versionBindings: VersionBindingRow;
  bindingModes: BindingModeRow;
  proxiedZones: ProxiedZoneRow;
  blobs: BlobRow;
  deployments: DeploymentRow;
  deploymentVersions: DeploymentVersionRow;
  routes: RouteRow;
  changes: ChangeRow;
  counters: CounterRow;
  identityAuthorities: IdentityAuthorityRow;
  identities: IdentityRow;
  issuedIdentities: IssuedIdentityRow;
  policies: PolicyRow;
  accessApplications: AccessApplicationRow;
  accessPolicies: AccessPolicyRow;
  accessAuthorities: AccessAuthorityRow;
  accessKeys: AccessKeyRow;
  accessKeyIntervals: AccessKeyIntervalRow;
  serviceTokens: ServiceTokenRow;
  masterKeyChecks: MasterKeyCheckRow;
  masterKeyChanges: MasterKeyChangeRow;
  zones: ZoneRow;
  zoneSettings: ZoneSettingRow;
  hostCertificates: HostCertificateRow;
  acmeAccounts: AcmeAccountRow;
  acmeExternalAccounts: AcmeExternalAccountRow;
  acmeChallenges: AcmeChallengeRow;
  localAuthorities: LocalAuthorityRow;
  hostClients: HostClientsRow;
  hostOrigins: HostOriginRow;
  dnsRecords: DnsRecordRow;
  originPullCertificates: OriginPullCertificateRow;
  originPullHosts: OriginPullHostRow;
  originPullZones: OriginPullZoneRow;
  globalPullZones: GlobalPullZoneRow;
  pullAuthorities: PullAuthorityRow;
  objectNamespaces: ObjectNamespaceRow;
  workflows: WorkflowRow;
  hostAuthorities: HostAuthorityRow;
  clientRevocations: ClientRevocationRow;
  revocationLists: RevocationListRow;
  clientCertificates: ClientCertificateRow;
  resources: ResourceRow;
  schedules: ScheduleRow;
  queueConsumers: QueueConsumerRow;
  hyperdriveConfigs: HyperdriveConfigRow;
  assetManifests: AssetManifestRow;
  assetSessions: AssetSessionRow;
}

/** A database behind a `hyperdrive` binding. */
export interface HyperdriveConfigRow {
  /** 32 hex digits, as Cloudflare's. */
  id: string;
  accountId: string;
  name: string;
  /** `postgres`, `postgresql` or `mysql`, as it was said. */
  scheme: string;
  host: string;
  port: number;
  database: string;
  user: string;
  sealedPassword: Sealed;
  caCertificateId: string | null;
  /** A certificate's id, or `identity`. */
  mtlsCertificateId: string | null;
  /** As it was said, or our default: `require`, `VERIFY_IDENTITY`. */
  sslmode: string;
  connectionLimit: number;
  createdOn: string;
  modifiedOn: string;
}

export interface AccountRow {
  /** 32 hex digits, as Cloudflare's. */
  id: string;
  name: string;
  /** `{script}.{subdomain}.workers.dev`. Null: none registered. */
  subdomain: string | null;
  /** 1 for the account whose scripts also answer at `{script}.localhost`. */
  shortHosts: number;
  createdOn: string;
  limits: AccountLimits;
  /** 1: the identities of its Workers name the environment that each was deployed to. */
  identityEnvironments: number;
}

/** How much an account may have. What is absent is the platform's default. */
export interface AccountLimits {
  readonly certificates?: number;
  readonly authorities?: number;
}

/** A person, who signs in with a password. */
export interface UserRow {
  /** 32 hex digits. */
  id: string;
  /** Lower case, unique. */
  email: string;
  /** `argon2id$…`, see `control/passwords.ts`. */
  passwordHash: string;
  createdOn: string;
  updatedOn: string;
}

/** A person's authenticator app. */
export interface SecondFactorRow {
  userId: string;
  sealedSecret: Sealed;
  /** Null: enrolment has begun, and nothing is asked for yet. */
  confirmedOn: string | null;
  /** The last 30 seconds since 1970 that a code was taken of: each code works once. */
  lastStep: number;
}

/** Each stands in for one code. */
interface RecoveryCodeRow {
  userId: string;
  /** SHA-256, hex: a code has 80 random bits. */
  hash: string;
}

export interface MembershipRow {
  userId: string;
  accountId: string;
  role: "admin" | "deployer" | "viewer";
  createdOn: string;
}

export interface TokenRow {
  /** 32 hex digits. */
  id: string;
  accountId: string;
  /** Whose token it is: it never does more than its person's role. Null: the account's own. */
  userId: string | null;
  name: string;
  /** Who acts with it, as deployments name their author. */
  email: string;
  /** SHA-256 of the token, hex: the token itself has 240 random bits and needs no slow hash. */
  hash: string;
  scopes: readonly string[];
  /** As they were sent. Null: made from the scopes. */
  policies: readonly object[] | null;
  createdOn: string;
  modifiedOn: string;
  notBefore: string | null;
  expiresOn: string | null;
  /** `{in?, not_in?}`: CIDRs it may, or may not, be used from. Null: from anywhere. */
  requestIp: RequestIp | null;
  /** 1: it does not work until it is enabled again. */
  disabled: number;
  revokedOn: string | null;
  /** The id of the token that it was made with: it ends with it. Null: a person or the operator made it. */
  madeBy: string | null;
}

/** What the login by OAuth remembers: sessions, codes, grants, and tokens by their hash. */
export interface OauthRecordRow {
  /** `AccessToken`, `RefreshToken`, `Grant`, … */
  model: string;
  /** SHA-256 of the id, hex: the id of a token is the token. */
  idHash: string;
  /** JSON, without the id. */
  payload: string;
  /** The person, once known. */
  userId: string | null;
  grantId: string | null;
  uid: string | null;
  consumedOn: string | null;
  expiresOn: string;
  /** A hash of the columns that are set with the row. Null: the platform did not write it. */
  sealedProof: Sealed | null;
}

/** Append only. The hash of each is over its body and the hash of the one before. */
export interface AuditEntryRow {
  /** Counts up from 1, without a gap. */
  sequence: number;
  /** UUID. */
  id: string;
  /** Null: about the platform, not one account. */
  accountId: string | null;
  /** These three to find it by; what counts is the body. */
  at: string;
  action: string;
  email: string;
  /** JSON, exactly as it was hashed. */
  body: string;
  /** SHA-256, hex. */
  hash: string;
}

/** Where the audit log ends. Sealed, so that only who has the master key can move it. */
export interface AuditHeadRow {
  /** `head`: its row lock is what orders the entries. `base`: the last entry that retention removed. */
  id: string;
  sequence: number;
  hash: string;
  /** `{sequence, hash}`, of `base` with `words`. Null: nothing was ever written down. */
  sealed: Sealed | null;
}

export interface CertificateRow {
  /** UUID. Stays the same through every rotation. */
  id: string;
  accountId: string;
  name: string | null;
  ca: number;
  /** The version that is presented. */
  activeVersion: number;
  /** Hosts it may be presented to. Null: any. */
  allowedHosts: readonly string[] | null;
  /** 1 for a CA that counts only where `authorityTies` says; 0 for one of the whole account. */
  tied: number;
  uploadedOn: string;
  updatedOn: string;
}

export interface CertificateVersionRow {
  certificateId: string;
  /** Counts up from 1. */
  version: number;
  accountId: string;
  /** Leaf first, PEM; of a CA, the bundle. */
  chain: string;
  /** Null for a CA. Its place follows from where it stands (`keyPlace`): it opens nowhere else. */
  sealedKey: Sealed | null;
  subject: string;
  issuer: string;
  serialNumber: string;
  signature: string;
  notBefore: string;
  notAfter: string;
  fingerprint: string;
  /** Unique in an account: the same certificate is stored once. */
  contentHash: string;
  /** Subject alternative names. */
  names: readonly string[];
  keyKind: string;
  /** SHA-256 over the subjectPublicKeyInfo, hex. */
  publicKeyHash: string;
  uploadedOn: string;
  revokedOn: string | null;
  /** What stays worth a sentence while it is stored. Null: not judged yet. */
  warnings: readonly string[] | null;
}

/** A version that came into force. What a rollback has abandoned is taken out. */
export interface CertificateActivationRow {
  certificateId: string;
  /** Counts up. */
  sequence: number;
  version: number;
}

/** Where a CA counts that does not count for the whole account: one of the two is set. */
export interface AuthorityTieRow {
  /** UUID. */
  id: string;
  accountId: string;
  authorityId: string;
  /** The certificate whose origins are verified by this CA, and by no other that is not tied to it. */
  certificateId: string | null;
  /** `api.example.com` or `*.example.com`. */
  host: string | null;
  /** SPIFFE IDs that the host's servers may have, in place of its name. Null: by its name. */
  spiffeIds: readonly string[] | null;
}

/** What last happened to a certificate at an origin. */
export interface CertificateEventRow {
  certificateId: string;
  kind: "handshake" | "failure";
  at: string;
  /** JSON: the rest of the event. */
  body: string;
}

/** A folder on the platform's machine that another program renews. */
export interface CertificateSourceRow {
  certificateId: string;
  accountId: string;
  folder: string;
  /** Null: found by name. */
  certificateFile: string | null;
  keyFile: string | null;
  createdOn: string;
  /** When a version was last taken from it. */
  takenOn: string | null;
  /** Since when its content cannot be taken, and why. Null: it can. */
  failedOn: string | null;
  failure: string | null;
}

/** A threshold before the end of a version that was passed, and whether the webhook knows. */
export interface ExpiryNoticeRow {
  /** UUID: the webhook's message id. */
  id: string;
  accountId: string;
  certificateId: string;
  version: number;
  /** 30, 14, 7, 3, 1; 0 once it expired. */
  threshold: number;
  createdOn: string;
  attempts: number;
  /** Null: delivered, given up, or there was no webhook. */
  nextAttemptOn: string | null;
  deliveredOn: string | null;
  lastError: string | null;
}

/** The same of what a host or an origin pull presents. */
export interface PresentedNoticeRow extends Omit<ExpiryNoticeRow, "version"> {
  kind: "host" | "origin_pull";
  /** Of the certificate that it was about: a renewed one has another. */
  notAfter: string;
}

/** Where an account wants to be told. */
export interface WebhookRow {
  accountId: string;
  url: string;
  sealedSecret: Sealed;
  updatedOn: string;
}

export interface ScriptRow {
  /** 32 hex digits: Cloudflare's `tag`. Another one when a deleted script is made again. */
  id: string;
  accountId: string;
  name: string;
  workersDev: number;
  /** 1: each version answers at hosts of its own. */
  previews: number;
  /** `tags`, `logpush`, `observability`, `tail_consumers`. */
  settings: Readonly<Record<string, unknown>>;
  createdOn: string;
  modifiedOn: string;
  /** Of the last migration of its Durable Objects. Null: there was none, or none with a tag. */
  migrationTag: string | null;
}

/** Where the objects of one class of Durable Objects are kept. */
export interface ObjectNamespaceRow {
  /** 32 hex digits, never used again: the name of the folder. */
  id: string;
  accountId: string;
  /** Null: the class was deleted, and what is kept is to be removed. */
  scriptId: string | null;
  className: string;
  /** 1: its objects have `storage.sql`. */
  usesSql: number;
  createdOn: string;
}

/** A Workflow of a script. */
export interface WorkflowRow {
  /** 32 hex digits, never used again: the name of the folder with its instances. */
  id: string;
  accountId: string;
  /** Null: it was deleted, and its instances are to be removed. */
  scriptId: string | null;
  /** Unique in the account, among those that are not deleted. */
  name: string;
  className: string;
  settings: WorkflowSettings;
  createdOn: string;
  modifiedOn: string;
}

/** As the engine takes them. What is absent is the engine's own default. */
export interface WorkflowSettings {
  /** The most steps of an instance. */
  readonly steps?: number;
  /** How long an instance is kept that has ended: ms, or `3 days`. */
  readonly retention?: {
    readonly success?: number | string;
    readonly error?: number | string;
  };
}

export interface ScriptVersionRow {
  /** UUID. */
  id: string;
  scriptId: string;
  /** Counts up from 1. */
  number: number;
  mainModule: string;
  compatibilityDate: string;
  compatibilityFlags: readonly string[];
  /** `workers/message`, `workers/tag`, `workers/triggered_by`. */
  annotations: Readonly<Record<string, string>>;
  author: string;
  /** `wrangler`, `api`. */
  source: string;
  etag: string;
  startupTimeMs: number;
  createdOn: string;
  settings: VersionSettings;
}

/** What a version keeps beside its code and its bindings, as Cloudflare names it. */
export interface VersionSettings {
  readonly limits?: { readonly cpu_ms?: number };
  readonly placement?: Readonly<Record<string, unknown>>;
  /** Of the default export; absent where the code does not tell. */
  readonly handlers?: readonly string[];
  /** Whether the code is one script whose bindings are globals. Absent: modules. */
  readonly service_worker?: true;
  readonly named_handlers?: readonly { readonly name: string; readonly handlers: string[] }[];
  readonly assets?: VersionAssets;
}

export interface VersionAssets {
  /** The manifest's id. Empty: there are no files. */
  readonly manifest: string;
  readonly config: AssetsConfig;
}

/** The files of one or more versions, or of an upload that has begun. */
interface AssetManifestRow {
  /** SHA-256 of account and files, hex. */
  id: string;
  accountId: string;
  /** JSON, exactly as it was hashed: `[path, hash, size]` of each, by path. */
  files: string;
}

/** An upload of static assets: who has its token may send the files that it lists. */
export interface AssetSessionRow {
  /** SHA-256, hex: a token has 256 random bits. */
  tokenHash: string;
  accountId: string;
  scriptName: string;
  manifestId: string;
  expiresOn: string;
}

interface VersionModuleRow {
  versionId: string;
  position: number;
  name: string;
  type: string;
  blobHash: string;
}

interface VersionBindingRow {
  versionId: string;
  position: number;
  name: string;
  type: string;
  /** What it points to: a certificate's id, a service's name. Null for other types. */
  target: string | null;
  /** JSON: the binding as the edge reads it. Secrets in it are sealed. */
  body: string;
}

/** A script's choice for a binding, whichever versions have it. Without a row: the gateway. */
interface BindingModeRow {
  scriptId: string;
  name: string;
  mode: "gateway" | "in-process";
}

/** Modules by content: a version that only changes a secret repeats none. */
interface BlobRow {
  /** SHA-256, hex. */
  hash: string;
  content: Uint8Array;
}

export interface DeploymentRow {
  /** UUID. */
  id: string;
  scriptId: string;
  /** Counts up from 1: the highest is what runs. */
  number: number;
  annotations: Readonly<Record<string, string>>;
  author: string;
  source: string;
  createdOn: string;
}

interface DeploymentVersionRow {
  deploymentId: string;
  versionId: string;
  percentage: number;
}

export interface RouteRow {
  /** 32 hex digits. */
  id: string;
  accountId: string;
  scriptId: string;
  kind: "route" | "custom_domain";
  /** `example.com/api/*`; of a custom domain, its host. */
  pattern: string;
}

/** The newest change of each object: what counts is the state it has when it is read. */
export interface ChangeRow {
  kind:
    | "script"
    | "certificate"
    | "trust"
    | "database"
    | "identity"
    | "identities"
    | "queues"
    | "hosts"
    | "access";
  accountId: string;
  /** The script's name or the certificate's id; empty for what concerns the whole account. */
  key: string;
  cursor: number;
}

/** A CA of an account's identities. */
export interface IdentityAuthorityRow {
  id: string;
  accountId: string;
  /** Counts up within the account, from 1. */
  number: number;
  /**
   * `prepared`: trusted, does not issue yet. `active`: issues; one an account at most. `retiring`:
   * trusted, issues no more. `retired`: no longer trusted.
   */
  state: "prepared" | "active" | "retiring" | "retired";
  /** PEM. */
  root: string;
  /** Null: it is kept elsewhere, offline. */
  sealedRootKey: Sealed | null;
  /** The certificates that issue, the lowest first, without the root; PEM. Null: not signed yet. */
  chain: string | null;
  /** The root's revocation list, PEM, where its key is elsewhere. */
  rootCrl: string | null;
  /** The request for the intermediate, PEM, where the root's key is elsewhere. */
  csr: string | null;
  sealedKey: Sealed;
  createdOn: string;
  /** When it came into its state. */
  changedOn: string;
}

/** Whether a Worker may have an identity. */
export interface IdentityRow {
  accountId: string;
  scriptName: string;
  /** How many were issued to it. */
  version: number;
  revokedOn: string | null;
  /** Why. Null: it may have one. */
  reason: "revoked" | "deleted" | null;
}

/** What was issued and has not expired. */
export interface IssuedIdentityRow {
  /** Hexadecimal, upper case. */
  serial: string;
  accountId: string;
  authorityId: string;
  /** Null: a client certificate, of nothing that runs here. */
  scriptName: string | null;
  /** Null: it has none, or was issued before this was kept. */
  spiffeId: string | null;
  issuedOn: string;
  notAfter: string;
  revokedOn: string | null;
}

/** A version of a policy that origins follow. The newest is in force. */
export interface PolicyRow {
  accountId: string;
  name: string;
  version: number;
  /** JSON, as `countersign-origin` reads it. */
  body: string;
  createdOn: string;
  author: string;
}

/**
 * Cursors come from a row, not from a sequence. The row's lock makes transactions commit in the
 * order of their cursors, so no follower of the feed skips a change.
 */
interface CounterRow {
  name: string;
  value: number;
}

/** A record sealed at the first start: with a master key that does not open it, nothing starts. */
export interface MasterKeyCheckRow {
  /** Always `store`: there is one. */
  id: string;
  sealed: Sealed;
}

/** A change of the master key that has begun and not ended: there is at most one. */
export interface MasterKeyChangeRow {
  /** Always `store`. */
  id: string;
  /** The old key, sealed with the new one, because some records may still need it. */
  sealed: Sealed;
  begunOn: string;
}

export interface ProxiedZoneRow {
  accountId: string;
  /** Lower case, without a trailing dot. */
  name: string;
}

/** A zone that was made: its name is one account's. */
export interface ZoneRow {
  /** 32 hex digits, as `zoneNamed` makes them from the name. */
  id: string;
  accountId: string;
  /** Lower case, unique in the installation. */
  name: string;
  createdOn: string;
}

/** What a zone says of all its hosts at the ingress. Without a row, the default counts. */
export interface ZoneSettingRow {
  accountId: string;
  /** Its name. */
  zone: string;
  setting: ZoneSettingId;
  /** JSON. */
  value: string;
  modifiedOn: string;
}

/** As Cloudflare calls them. */
export type ZoneSettingId = "min_tls_version" | "tls_1_3" | "always_use_https" | "security_header";

/** A server certificate that the ingress presents for its hosts. */
export interface HostCertificateRow {
  /** UUID. */
  id: string;
  accountId: string;
  /** The name of the zone under which it is shown. */
  zone: string;
  /** Names, lower case, `*.example.com` allowed. */
  hosts: readonly string[];
  /** Leaf first, PEM. */
  chain: string;
  sealedKey: Sealed;
  bundleMethod: "ubiquitous" | "optimal" | "force";
  /** Where several have the same host: the greater goes first, then the newer. */
  priority: number;
  source: "upload" | "folder" | "acme";
  /** Absolute. Null: none is followed. */
  folder: string | null;
  /** Who renews it. Null: not by ACME. */
  acmeAccountId: string | null;
  /** The kind of proof that was chosen. Null: what the server offers, HTTP-01 first. */
  acmeChallenge: AcmeChallengeKind | null;
  /** Renewals that failed since the last one that did not. */
  acmeFailures: number;
  /** Why the last one failed, after the failure's code. Null: it did not. */
  acmeFailure: string | null;
  /** When it is renewed, or tried again. */
  acmeNextOn: string | null;
  uploadedOn: string;
  modifiedOn: string;
  notAfter: string;
}

export type AcmeChallengeKind = "http-01" | "tls-alpn-01";

/** An account at an ACME server: one an account and directory, for servers limit new ones. */
export interface AcmeAccountRow {
  /** UUID. */
  id: string;
  accountId: string;
  /** URL. */
  directory: string;
  email: string | null;
  /** CAs (PEM) that alone verify the directory's server. Null: the public ones. */
  authority: string | null;
  /** Under its `acmeKeyPlace`. */
  sealedKey: Sealed;
  createdOn: string;
}

/** With what an account at an ACME server was opened (External Account Binding, RFC 8555, 7.3.4). */
export interface AcmeExternalAccountRow {
  /** That of the ACME account. */
  id: string;
  accountId: string;
  /** As the operator of the server calls it. */
  kid: string;
  /** The MAC key, base64url. Under its `acmeExternalKeyPlace`. */
  sealedKey: Sealed;
}

/** What the ingress answers to an ACME server that asks whether a host is ours. */
export interface AcmeChallengeRow {
  token: string;
  host: string;
  accountId: string;
  keyAuthorization: string;
  createdOn: string;
}

/** The CA of this machine's own names. */
export interface LocalAuthorityRow {
  /** Always `local`. */
  id: string;
  /** PEM. */
  certificate: string;
  sealedKey: Sealed;
  createdOn: string;
}

/** A certificate that origins are shown which DNS records lead to. */
export interface OriginPullCertificateRow {
  /** UUID. */
  id: string;
  accountId: string;
  /** The name of its zone. Empty: of none. */
  zone: string;
  /** `zone`: for all hosts of the zone. `hostname`: for those that name it. `global`: for the account's zones. */
  level: string;
  /** Leaf first, PEM. */
  chain: string;
  /** Under its `pullKeyPlace`. */
  sealedKey: Sealed;
  issuer: string;
  serialNumber: string;
  signature: string;
  notAfter: string;
  uploadedOn: string;
}

/** Which certificate the origin of one host is shown. */
export interface OriginPullHostRow {
  /** 32 hex digits. */
  id: string;
  accountId: string;
  zone: string;
  host: string;
  certificateId: string;
  enabled: number;
  createdOn: string;
  updatedOn: string;
}

/** Whether the origins of a zone are shown its certificate. */
export interface OriginPullZoneRow {
  id: string;
  accountId: string;
  zone: string;
  enabled: number;
}

/** Whether the origins of a zone are shown the global certificate. */
export interface GlobalPullZoneRow {
  id: string;
  accountId: string;
  zone: string;
  enabled: number;
  modifiedOn: string;
}

/** A CA of this installation, which signs what origins are shown globally. */
export interface PullAuthorityRow {
  /** UUID. */
  id: string;
  /** PEM. */
  certificate: string;
  /** Under its `pullAuthorityPlace`. */
  sealedKey: Sealed;
  notAfter: string;
  createdOn: string;
}

/** A DNS record of a zone. Proxied, it says where the origin of its host is. */
export interface DnsRecordRow {
  /** 32 hex digits. */
  id: string;
  accountId: string;
  /** The name of its zone. */
  zone: string;
  /** Lower case, whole, without a trailing dot; `*.example.com` is any host below it. */
  name: string;
  /** `A`, `AAAA`, `CNAME` or `TXT`. */
  type: string;
  content: string;
  proxied: number;
  /** Seconds. 1: automatic. */
  ttl: number;
  comment: string | null;
  tags: readonly string[];
  createdOn: string;
  modifiedOn: string;
}

/** A host that an origin answers for, and no Worker. */
export interface HostOriginRow {
  /** 32 hex digits. */
  id: string;
  accountId: string;
  /** Lower case; `*.example.com` is any host below it. Of one account only. */
  host: string;
  /** A name or an address, without brackets. */
  toHost: string;
  toPort: number;
  /** Of the client certificate that is presented. */
  certificateId: string;
  createdOn: string;
  modifiedOn: string;
}

/** What a host asks of its clients. One without a row asks nothing. */
export interface HostClientsRow {
  accountId: string;
  /** Lower case; `*.example.com` is any host below it. */
  host: string;
  mode: "optional" | "required";
  /** 1: the Worker gets `Client-Cert` of RFC 9440. */
  forward: 0 | 1;
}

/** A CA whose certificates a host takes. */
export interface HostAuthorityRow {
  accountId: string;
  host: string;
  /** Of an uploaded CA, or `managed`: the account's own. */
  authorityId: string;
  /** The host's place among those of this CA, as they were sent. */
  position: number;
}

/** A certificate that no host of the account takes any more: a serial number or a fingerprint. */
export interface ClientRevocationRow {
  /** UUID. */
  id: string;
  accountId: string;
  /** Hexadecimal, upper case. */
  serial: string | null;
  /** As Node prints it. Null: of whatever issuer. */
  issuer: string | null;
  /** SHA-256, 64 hex digits, lower case. */
  fingerprint: string | null;
  createdOn: string;
}

/** What the account's CA has issued to a client. */
export interface ClientCertificateRow {
  /** UUID. */
  id: string;
  accountId: string;
  zoneId: string;
  authorityId: string;
  /** PEM. */
  csr: string;
  /** The leaf alone, PEM. */
  certificate: string;
  serial: string;
  fingerprint: string;
  validityDays: number;
  issuedOn: string;
  notAfter: string;
  revokedOn: string | null;
}

/** Hosts and paths behind Access. */
export interface AccessApplicationRow {
  /** UUID. */
  id: string;
  accountId: string;
  name: string;
  /** 64 hex digits. */
  aud: string;
  /** `example.com/path`. */
  domains: readonly string[];
  /** The ids of its policies, in their order. */
  policies: readonly string[];
  /** What is kept for those who set it and decides nothing. */
  settings: Readonly<Record<string, unknown>>;
  createdOn: string;
  updatedOn: string;
}

export interface AccessPolicyRow {
  /** UUID. */
  id: string;
  accountId: string;
  /** The application that it is a part of. Null: any may use it. */
  applicationId: string | null;
  name: string;
  decision: "non_identity" | "bypass" | "deny";
  /** `{include, require, exclude}`: rules as they were sent. */
  rules: SentRules;
  /** Of people's sessions, for who set it: it decides nothing. */
  sessionDuration: string | null;
  createdOn: string;
  updatedOn: string;
}

/** A CA of clients' certificates. */
export interface AccessAuthorityRow {
  /** UUID. */
  id: string;
  accountId: string;
  name: string;
  /** PEM. */
  certificate: string;
  /** SHA-256, hex. */
  fingerprint: string;
  hosts: readonly string[];
  expiresOn: string;
  createdOn: string;
  updatedOn: string;
}

/** A key that signs assertions: of those whose time has come the newest one does. */
export interface AccessKeyRow {
  /** 64 hex digits. */
  id: string;
  accountId: string;
  /** A JSON Web Key. */
  publicKey: Readonly<Record<string, unknown>>;
  sealedKey: Sealed;
  /** When it was published. */
  createdOn: string;
  signsFrom: string;
}

/** Without one, a key signs for 90 days. */
export interface AccessKeyIntervalRow {
  accountId: string;
  /** 21 to 365. */
  days: number;
}

/** An id and a secret that a machine is let in with. */
export interface ServiceTokenRow {
  /** UUID. */
  id: string;
  accountId: string;
  name: string;
  /** `….access` */
  clientId: string;
  /** SHA-256 of the secret, hex: it has 256 random bits and needs no slow hash. */
  secretHash: string;
  previousHash: string | null;
  /** Until when the secret before works. Null: there is none. */
  previousUntil: string | null;
  secretVersion: number;
  enabled: number;
  /** `8760h`, `forever` */
  duration: string;
  expiresOn: string | null;
  createdOn: string;
  updatedOn: string;
}

/** `do`: a namespace of Durable Objects. */
export type ResourceKind = "kv" | "d1" | "r2" | "queue" | "do" | "workflow";

/** Something that Workers keep beside their code. */
export interface ResourceRow {
  /** Never used again: the data are under it. */
  id: string;
  accountId: string;
  kind: ResourceKind;
  /** Unique among those of its kind in the account. */
  name: string;
  /** By kind. */
  settings: Readonly<Record<string, unknown>>;
  createdOn: string;
  modifiedOn: string;
}

/** The Worker that a queue's messages go to. */
export interface QueueConsumerRow {
  /** 32 hex digits. */
  id: string;
  /** A queue has one. */
  queueId: string;
  scriptId: string;
  /** Another queue's name. */
  deadLetterQueue: string | null;
  settings: ConsumerSettings;
  createdOn: string;
}

/** A cron trigger of a Worker. */
export interface ScheduleRow {
  id: string;
  scriptId: string;
  /** Unique among those of the script. */
  cron: string;
  /** The minute of its last run or, before the first, that in which it was made. */
  ranUpTo: string;
  createdOn: string;
  modifiedOn: string;
}

/** A CA's own list of what it has revoked, as it was last taken. */
export interface RevocationListRow {
  /** UUID. */
  id: string;
  accountId: string;
  /** Null: it was uploaded. */
  url: string | null;
  /** Seconds until it is fetched again. */
  interval: number;
  /** As Node prints it. */
  issuer: string;
  /** SHA-256 of the CA that signed it. */
  authority: string;
  /** SHA-256 of the list. */
  hash: string;
  /** A line each. */
  serials: string;
  entries: number;
  thisUpdate: string;
  nextUpdate: string;
  takenOn: string;
  /** Null: it is not fetched. */
  nextCheckOn: string | null;
  /** Since the last one that went well. */
  failures: number;
  failure: string | null;
  createdOn: string;
}

/** As the API has them; what is not set has Cloudflare's default. */
export interface ConsumerSettings {
  readonly batch_size?: number | null | undefined;
  readonly max_retries?: number | null | undefined;
  readonly max_wait_time_ms?: number | null | undefined;
  readonly max_concurrency?: number | null | undefined;
  readonly retry_delay?: number | null | undefined;
}

/** From where a token may be used, as Cloudflare writes it: CIDRs or single addresses. */
export interface RequestIp {
  readonly in?: readonly string[] | undefined;
  readonly not_in?: readonly string[] | undefined;
}
