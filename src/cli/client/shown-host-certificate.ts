export interface ShownHostCertificate {
  readonly id: string;
  readonly hosts: readonly string[];
  readonly issuer: string;
  /** ISO 8601. */
  readonly expires_on: string;
}
