import { getCloudflareContext } from "@opennextjs/cloudflare";

// Asked for each request, not once when the project is built.
export const dynamic = "force-dynamic";

/** The certificate never leaves the server: the page gets what the supplier said. */
export default async function Page() {
  const { SUPPLIER_CERT, SUPPLIER } = getCloudflareContext().env;
  const answer = await SUPPLIER_CERT.fetch(`${SUPPLIER}/whoami`);
  return <p>{`The supplier sees ${await answer.text()}`}</p>;
}
