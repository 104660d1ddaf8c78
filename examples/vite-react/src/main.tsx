import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

interface Seen {
  readonly client: { readonly subject: string };
}

function Stock() {
  const [seen, setSeen] = useState<Seen>();
  useEffect(() => {
    void fetch("/api/stock").then(async (response) => setSeen(await response.json()));
  }, []);
  return <p>{seen ? `The stock system knows us as ${seen.client.subject}` : "Asking …"}</p>;
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Stock />
  </StrictMode>,
);
