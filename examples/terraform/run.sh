#!/usr/bin/env bash
# apply, plan (no changes), replace a domain, plan (no changes), destroy, against a running platform:
#   eval "$(npx countersign env)"
#   TF_VAR_certificate=client.pem TF_VAR_private_key=client.key TF_VAR_ca=ca.pem ./run.sh
# TERRAFORM: terraform (default) or tofu. PROVIDER: a folder with the provider's source (v5.22 or later),
# to build it instead of taking it from a registry.
set -euo pipefail
cd "$(dirname "$0")"
terraform=${TERRAFORM:-terraform}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TF_VAR_account_id=${CLOUDFLARE_ACCOUNT_ID:?run: eval "$(npx countersign env)"}
for name in certificate private_key ca; do
  file="TF_VAR_$name"
  export "$file=$(realpath "${!file:?names a file}")"
done
cp main.tf "$work" && cd "$work"

if [ -n "${PROVIDER:-}" ]; then
  (cd "$PROVIDER" && GOFLAGS=-p=1 go build -o "$work/bin/terraform-provider-cloudflare" .)
  printf 'provider_installation {\n  dev_overrides { "cloudflare/cloudflare" = "%s" }\n  direct {}\n}\n' "$work/bin" >"$work/rc"
  export TF_CLI_CONFIG_FILE=$work/rc
else
  "$terraform" init -input=false
fi
clean() { "$terraform" plan -input=false -detailed-exitcode >/dev/null || { echo "the plan after $1 has changes"; exit 1; }; }

"$terraform" apply -input=false -auto-approve
clean apply
"$terraform" apply -input=false -auto-approve -replace=cloudflare_workers_custom_domain.shop
clean replace
"$terraform" destroy -input=false -auto-approve
echo "apply, plan, replace and destroy worked"
