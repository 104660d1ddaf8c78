#!/usr/bin/env bash
# apply, plan, change, plan, replace a domain, plan, destroy, against a running platform; each plan must
# find nothing to change:
#   eval "$(npx countersign env)"
#   TF_VAR_certificate=client.pem TF_VAR_private_key=client.key TF_VAR_ca=ca.pem TF_VAR_csr=device.csr ./run.sh
# TERRAFORM: terraform (default) or tofu. PROVIDER: a folder with the provider's source (v5.22 or later), or
# with the built program terraform-provider-cloudflare, to use instead of the provider from a registry.
# CHECK: a command that is run before everything is destroyed, and has to succeed.
set -euo pipefail
cd "$(dirname "$0")"
terraform=${TERRAFORM:-terraform}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TF_VAR_account_id=${CLOUDFLARE_ACCOUNT_ID:?run: eval "$(npx countersign env)"}
for name in certificate private_key ca csr; do
  file="TF_VAR_$name"
  export "$file=$(realpath "${!file:?names a file}")"
done
cp ./*.tf "$work"

if [ -n "${PROVIDER:-}" ]; then
  program=$(realpath "$PROVIDER")
  if [ ! -x "$program/terraform-provider-cloudflare" ]; then
    echo "Building the provider: this takes half an hour on two cores" >&2
    (cd "$program" && go build -o "$work/bin/terraform-provider-cloudflare" .)
    program=$work/bin
  fi
  printf 'provider_installation {\n  dev_overrides { "cloudflare/cloudflare" = "%s" }\n  direct {}\n}\n' "$program" >"$work/rc"
  export TF_CLI_CONFIG_FILE=$work/rc
fi
cd "$work"
[ -n "${PROVIDER:-}" ] || "$terraform" init -input=false

apply() {
  local after=$1
  shift
  "$terraform" apply -input=false -auto-approve "$@"
  "$terraform" plan -input=false -detailed-exitcode "${@:1:2}" >plan.txt || {
    cat plan.txt
    echo "the plan after the $after has changes" >&2
    exit 1
  }
}

apply "first apply" -var release=1
apply change -var release=2
apply replacement -var release=2 -replace=cloudflare_workers_custom_domain.shop
[ -z "${CHECK:-}" ] || bash -c "$CHECK"
"$terraform" destroy -input=false -auto-approve -var release=2
echo "apply, plan, change, replace and destroy worked"
