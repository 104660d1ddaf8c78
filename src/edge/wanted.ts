import { isDeepStrictEqual } from "node:util";
import { Generation } from "./generation/generation.ts";
import { type RunnableVersion, runnable } from "./in-process.ts";
import { type LiveScript, generationsOf } from "./live.ts";
import type { Deployment, Source } from "../contract/change-feed.ts";

/** A deployment with what its versions present in their own processes. */
export type WantedDeployment = Omit<Deployment, "versions"> & {
  readonly versions: readonly { readonly version: RunnableVersion; readonly percentage: number }[];
};

export async function withPresented(
  source: Source,
  deployment: Deployment,
  isFollowed: boolean,
): Promise<WantedDeployment> {
  const versions = await Promise.all(
    deployment.versions.map(async ({ version, percentage }) => ({
      version: await runnable(source, version, isFollowed),
      percentage,
    })),
  );
  return { ...deployment, versions };
}

export function isSame(one: WantedDeployment, other: WantedDeployment): boolean {
  const identities = ({ versions }: WantedDeployment): string[] =>
    versions.map(({ version }) => version.identity);
  return isDeepStrictEqual(identities(one), identities(other));
}

/** What runs of a script as it is wanted. */
export function running(
  live: LiveScript | undefined,
  { identity }: Pick<RunnableVersion, "identity">,
): Generation | undefined {
  return generationsOf(live).find(({ version }) => version.identity === identity);
}
