/** The certificate never leaves the server; the page gets the supplier's answer. */
export async function load({ platform }) {
  const { SUPPLIER_CERT, SUPPLIER } = platform.env;
  const answer = await SUPPLIER_CERT.fetch(`${SUPPLIER}/whoami`);
  return { caller: await answer.text() };
}
