import { z } from "@hono/zod-openapi";
import type { CertificateFilter } from "../../store/certificates/certificates.ts";

/** Which certificates a list has. */
export const certificateQuery: z.ZodObject<{
  ca: z.ZodOptional<z.ZodEnum<{ true: "true"; false: "false" }>>;
  name: z.ZodOptional<z.ZodString>;
}> = z.object({ ca: z.enum(["true", "false"]).optional(), name: z.string().optional() });

export function certificateFilterOf({
  ca,
  name,
}: z.output<typeof certificateQuery>): CertificateFilter {
  return {
    ...(ca !== undefined && { ca: ca === "true" }),
    ...(name !== undefined && { name }),
  };
}
