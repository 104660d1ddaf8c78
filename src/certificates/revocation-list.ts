import * as x509 from "./x509.ts";

/**
 * The serial numbers of revocation lists in PEM: hexadecimal, upper case, without leading zeros.
 * @throws TypeError if the text holds no list, or one that cannot be read
 */
export function revokedSerials(pem: string): string[] {
  const lists = pem.match(/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g) ?? [];
  if (lists.length === 0) throw new TypeError("it holds no revocation list");
  const serials = lists.flatMap((list) => {
    try {
      return new x509.X509Crl(list).entries.map(({ serialNumber }) => serialNumber);
    } catch (cause) {
      throw new TypeError("it holds a revocation list that cannot be read", { cause });
    }
  });
  return serials.map((serial) => serial.toUpperCase().replace(/^0+(?=.)/, ""));
}
