# A Worker with a certificate, its domain, and a CA. `countersign env` sets what the provider reads.
# hosts.tf: who may call, and what origins are shown. bindings.tf: other kinds of bindings.
terraform {
  required_providers {
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = ">= 5.22.0"
    }
  }
}

variable "account_id" { type = string }
variable "certificate" { type = string }
variable "private_key" {
  type      = string
  sensitive = true
}
variable "ca" { type = string }

# Another value changes every resource that can be changed.
variable "release" {
  type    = string
  default = "1"
}

resource "cloudflare_mtls_certificate" "client" {
  account_id   = var.account_id
  name         = "terraform-client"
  ca           = false
  certificates = file(var.certificate)
  private_key  = file(var.private_key)

  # A bound certificate cannot be deleted, so the new one is made and bound first.
  lifecycle { create_before_destroy = true }
}

resource "cloudflare_mtls_certificate" "ca" {
  account_id   = var.account_id
  name         = "terraform-ca"
  ca           = true
  certificates = file(var.ca)
}

resource "cloudflare_workers_script" "shop" {
  account_id         = var.account_id
  script_name        = "terraform-shop"
  main_module        = "index.js"
  compatibility_date = "2026-01-01"
  content            = "export default { async fetch(request, env) { return env.CERT.fetch('https://localhost/'); } };"
  bindings = [{
    name           = "CERT"
    type           = "mtls_certificate"
    certificate_id = cloudflare_mtls_certificate.client.id
  }]
}

resource "cloudflare_workers_custom_domain" "shop" {
  account_id = var.account_id
  hostname   = "shop.example.test"
  service    = cloudflare_workers_script.shop.script_name
}
