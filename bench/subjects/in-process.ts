import { NotInstalled, type Subject } from "./subject.ts";

/** workerd's own TLS as a choice of the product. */
export const inProcess: Subject = {
  name: "in-process",
  what: "the product's in-process mode: workerd's own TLS, in the Worker's process",
  start: () => Promise.reject(new NotInstalled("the product does not have it yet")),
};
