/** A script's upload as wrangler sends it, with one ES module unless told otherwise. */
export function scriptForm(
  metadata: object = {},
  modules: Readonly<Record<string, readonly [type: string, content: string]>> = {
    "index.js": ["application/javascript+module", "export default { fetch() {} }"],
  },
): FormData {
  const form = new FormData();
  const [main_module] = Object.keys(modules);
  form.set("metadata", JSON.stringify({ main_module, ...metadata }));
  for (const [name, [type, content]] of Object.entries(modules)) {
    form.set(name, new File([content], name, { type }));
  }
  return form;
}
