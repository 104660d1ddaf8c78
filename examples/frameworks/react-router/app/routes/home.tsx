import { env } from "cloudflare:workers";
import { useLoaderData } from "react-router";

// The certificate never leaves the server; the page gets the supplier's answer.
export async function loader(): Promise<{ caller: string }> {
  const answer = await env.SUPPLIER_CERT.fetch(`${env.SUPPLIER}/whoami`);
  return { caller: await answer.text() };
}

export default function Home() {
  return <p>{`The supplier sees ${useLoaderData<typeof loader>().caller}`}</p>;
}
