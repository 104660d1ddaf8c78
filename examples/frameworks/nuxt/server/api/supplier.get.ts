/** The certificate never leaves the server; the page gets the supplier's answer. */
export default defineEventHandler(async (event) => {
  const { SUPPLIER_CERT, SUPPLIER } = event.context.cloudflare.env;
  const answer = await SUPPLIER_CERT.fetch(`${SUPPLIER}/whoami`);
  return { caller: await answer.text() };
});
