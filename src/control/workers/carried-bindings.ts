import { secretPlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import type { SecretTexts } from "../../keys/secret-texts.ts";
import type { ScriptKey, WorkerBinding } from "../../contract/change-feed.ts";

/** The version that the bindings belong to. */
export interface BindingOwner extends ScriptKey {
  readonly versionId: string;
  readonly tag: string;
  /** When the version was made, ISO 8601. */
  readonly timestamp: string;
}

/** The version from which bindings are carried over. */
export interface EarlierVersion {
  readonly id: string;
  readonly bindings: readonly WorkerBinding[];
}

/** All bindings of an earlier version, for this version. */
export function carryOverAll(
  keyring: Keyring,
  { id, bindings }: EarlierVersion,
  owner: BindingOwner,
): WorkerBinding[] {
  return bindings.map((binding) =>
    carryOver(binding, { keyring, from: id, as: binding.name }, owner),
  );
}

interface CarryOver {
  readonly keyring: Keyring;
  /** The id of the version that has it. */
  readonly from: string;
  /** Its name in this version. */
  readonly as: string;
}

/**
 * A binding of an earlier version, for this version. A secret is sealed again, because a sealed record can be unsealed
 * only in the version and under the name for which it was made.
 * @throws Failure `sealed_record_damaged` if it cannot be unsealed for its old place
 */
export function carryOver(
  binding: WorkerBinding,
  { keyring, from, as: name }: CarryOver,
  owner: BindingOwner,
): WorkerBinding {
  if (binding.type === "version_metadata") return metadataOf(name, owner);
  if (binding.type !== "secret_text") return { ...binding, name };
  const stood = secretPlace({ ...owner, versionId: from, name: binding.name });
  const sealed = keyring.reseal(stood, secretPlace({ ...owner, name }), binding.sealed);
  return { name, type: "secret_text", sealed };
}

export function metadataOf(
  name: string,
  { versionId, tag, timestamp }: BindingOwner,
): WorkerBinding {
  return { name, type: "version_metadata", id: versionId, tag, timestamp };
}

export function sealSecret(
  { keyring, texts }: { readonly keyring: Keyring; readonly texts: SecretTexts },
  owner: BindingOwner,
  name: string,
  text: string,
): WorkerBinding {
  const sealed = texts.seal(keyring, secretPlace({ ...owner, name }), text);
  return { name, type: "secret_text", sealed };
}

/** The bindings, with their secrets wrapped by the current master key, which may have changed meanwhile. */
export function freshBindings(
  keyring: Keyring,
  owner: BindingOwner,
  bindings: readonly WorkerBinding[],
): WorkerBinding[] {
  return bindings.map((binding) => {
    if (binding.type !== "secret_text") return binding;
    const place = secretPlace({ ...owner, name: binding.name });
    return { ...binding, sealed: keyring.fresh(place, binding.sealed) };
  });
}
