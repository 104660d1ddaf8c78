# A zone whose hosts ask for client certificates and let machines in, and an origin that is shown a
# certificate.
variable "csr" {
  type        = string
  description = "A file with the certificate request of a device."
}

resource "cloudflare_zone" "example" {
  account = { id = var.account_id }
  name    = "example.test"
  type    = "full"
}

# Clients with a certificate of this CA may call these hosts.
resource "cloudflare_certificate_authorities_hostname_associations" "api" {
  zone_id             = cloudflare_zone.example.id
  mtls_certificate_id = cloudflare_mtls_certificate.ca.id
  hostnames           = ["api.example.test", "api-${var.release}.example.test"]
}

resource "cloudflare_client_certificate" "device" {
  zone_id       = cloudflare_zone.example.id
  csr           = file(var.csr)
  validity_days = 365
}

# Access: a service token, or a certificate.
resource "cloudflare_zero_trust_access_service_token" "machine" {
  account_id = var.account_id
  name       = "machine ${var.release}"
  duration   = "8760h"
}

resource "cloudflare_zero_trust_access_mtls_certificate" "ca" {
  account_id           = var.account_id
  name                 = "machines"
  certificate          = file(var.ca)
  associated_hostnames = ["admin.example.test", "admin-${var.release}.example.test"]
}

resource "cloudflare_zero_trust_access_policy" "machines" {
  account_id = var.account_id
  name       = "machines"
  decision   = "non_identity"
  include = [
    { service_token = { token_id = cloudflare_zero_trust_access_service_token.machine.id } },
    { common_name = { common_name = "machine-${var.release}" } },
  ]
}

resource "cloudflare_zero_trust_access_application" "admin" {
  account_id = var.account_id
  name       = "admin ${var.release}"
  type       = "self_hosted"
  domain     = "admin.example.test"
  policies   = [{ id = cloudflare_zero_trust_access_policy.machines.id, precedence = 1 }]
}

# An origin that only the edge may call: one certificate for the zone, one for this host.
resource "cloudflare_dns_record" "legacy" {
  zone_id = cloudflare_zone.example.id
  name    = "legacy.example.test"
  type    = "A"
  content = "192.0.2.${var.release}"
  proxied = true
  ttl     = 1
}

resource "cloudflare_authenticated_origin_pulls_certificate" "zone" {
  zone_id     = cloudflare_zone.example.id
  certificate = file(var.certificate)
  private_key = file(var.private_key)
}

resource "cloudflare_authenticated_origin_pulls_settings" "zone" {
  zone_id = cloudflare_zone.example.id
  enabled = true
}

resource "cloudflare_authenticated_origin_pulls_hostname_certificate" "legacy" {
  zone_id     = cloudflare_zone.example.id
  certificate = file(var.certificate)
  private_key = file(var.private_key)
}

resource "cloudflare_authenticated_origin_pulls" "legacy" {
  zone_id = cloudflare_zone.example.id
  config = [{
    cert_id  = cloudflare_authenticated_origin_pulls_hostname_certificate.legacy.id
    enabled  = true
    hostname = "legacy.example.test"
  }]
}
