import type { WorkerBinding } from "../../contract/change-feed.ts";
import { Refusals } from "./refusals.ts";
import {
  type BindingSources,
  type RequestedBinding,
  invalid,
  refuseUnknownType,
  resolveBinding,
} from "./requested-bindings.ts";
import { type BindingOwner, type EarlierVersion, carryOverAll } from "./carried-bindings.ts";

/**
 * Turns the bindings that a client asks for into those that the edge runs: secrets are sealed, inherited bindings are
 * copied.
 *
 * @throws Failure that names the binding, and its type if the type is unknown
 */
export function resolveBindings(
  requested: readonly RequestedBinding[],
  owner: BindingOwner,
  sources: BindingSources,
): WorkerBinding[] {
  const refusals = new Refusals();
  const resolved = resolveOrRefuse(requested, owner, { ...sources, refusals });
  refusals.throw();
  return resolved;
}

/** Like `resolveBindings`, but refusals are collected; returns the bindings that were not refused. */
export function resolveOrRefuse(
  requested: readonly RequestedBinding[],
  owner: BindingOwner,
  { refusals, ...sources }: BindingSources & { readonly refusals: Refusals },
): WorkerBinding[] {
  const names = new Set<string>();
  const { before, keep, keyring } = sources;
  const resolved = requested.flatMap((binding) => {
    const found = refusals.try(() => {
      if (names.has(binding.name)) throw invalid(binding, "appears twice");
      refuseUnknownType(binding);
      return resolveBinding(binding, owner, sources);
    });
    names.add(binding.name);
    return found ?? [];
  });
  const kept = keptOf(before, ({ name, type }) => keep.includes(type) && !names.has(name));
  return [...resolved, ...carryOverAll(keyring, kept, owner)];
}

function keptOf(
  before: EarlierVersion | null,
  which: (binding: WorkerBinding) => boolean,
): EarlierVersion {
  return { id: before?.id ?? "", bindings: before?.bindings.filter(which) ?? [] };
}
