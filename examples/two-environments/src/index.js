/** Calls two services, each with the certificate that the service knows this Worker by. */
export default {
  async fetch(_request, env) {
    const [bank, tax] = await Promise.all([
      env.BANK_CERT.fetch(env.BANK),
      env.TAX_CERT.fetch(env.TAX_OFFICE),
    ]);
    return Response.json({ bank: await bank.json(), tax: await tax.json() });
  },
};
