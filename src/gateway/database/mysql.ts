import { Failure } from "../../failures/failures.ts";
import type { Protocol } from "./protocol.ts";

export const mysql: Protocol = {
  begins: "server",
  open: () => Promise.reject(new Failure("database_protocol")),
  follow: () => ({ see: () => {}, refusal: () => null }),
  refusal: () => Buffer.alloc(0),
};
