# A Worker with all other kinds of bindings, and a Worker that is deployed version by version.
resource "cloudflare_workers_kv_namespace" "settings" {
  account_id = var.account_id
  title      = "terraform-settings"
}

resource "cloudflare_workers_kv" "release" {
  account_id   = var.account_id
  namespace_id = cloudflare_workers_kv_namespace.settings.id
  key_name     = "release"
  value        = var.release
}

resource "cloudflare_d1_database" "orders" {
  account_id       = var.account_id
  name             = "terraform-orders"
  read_replication = { mode = "disabled" }
}

resource "cloudflare_r2_bucket" "files" {
  account_id = var.account_id
  name       = "terraform-files"
}

resource "cloudflare_queue" "jobs" {
  account_id = var.account_id
  queue_name = "terraform-jobs"
}

# Answers always contain `caching` and `sslmode`. If they are left out here, every plan has a change.
resource "cloudflare_hyperdrive_config" "database" {
  account_id = var.account_id
  name       = "terraform-database"
  origin = {
    scheme   = "postgres"
    host     = "db-${var.release}.example.test"
    port     = 5432
    database = "orders"
    user     = "app"
    password = "not-a-real-one"
  }
  caching = { disabled = true }
  mtls = {
    mtls_certificate_id = cloudflare_mtls_certificate.client.id
    ca_certificate_id   = cloudflare_mtls_certificate.ca.id
    sslmode             = "verify-full"
  }
}

resource "cloudflare_workers_script" "store" {
  account_id         = var.account_id
  script_name        = "terraform-store"
  main_module        = "index.js"
  compatibility_date = "2026-01-01"
  content            = <<-JS
    export default {
      async fetch(request, env) {
        return Response.json([await env.SETTINGS.get("release"), env.MODE, Object.keys(env).sort()]);
      },
      async queue() {},
      async scheduled() {},
    };
  JS
  bindings = [
    { name = "DATABASE", type = "hyperdrive", id = cloudflare_hyperdrive_config.database.id },
    { name = "DB", type = "d1", id = cloudflare_d1_database.orders.id },
    { name = "FILES", type = "r2_bucket", bucket_name = cloudflare_r2_bucket.files.name },
    { name = "JOBS", type = "queue", queue_name = cloudflare_queue.jobs.queue_name },
    { name = "MODE", type = "plain_text", text = "release ${var.release}" },
    { name = "SETTINGS", type = "kv_namespace", namespace_id = cloudflare_workers_kv_namespace.settings.id },
    { name = "SHOP", type = "service", service = cloudflare_workers_script.shop.script_name },
    { name = "WORD", type = "secret_text", text = "not-a-real-one" },
  ]
  observability = { enabled = true }
}

resource "cloudflare_workers_script_subdomain" "store" {
  account_id       = var.account_id
  script_name      = cloudflare_workers_script.store.script_name
  enabled          = true
  previews_enabled = var.release == "1"
}

resource "cloudflare_workers_route" "store" {
  zone_id = cloudflare_zone.example.id
  pattern = "example.test/store-${var.release}/*"
  script  = cloudflare_workers_script.store.script_name
}

resource "cloudflare_workers_cron_trigger" "store" {
  account_id  = var.account_id
  script_name = cloudflare_workers_script.store.script_name
  schedules   = [{ cron = "${var.release} 3 * * *" }, { cron = "0 1 * * mon" }]
}

resource "cloudflare_queue_consumer" "store" {
  account_id  = var.account_id
  queue_id    = cloudflare_queue.jobs.id
  type        = "worker"
  script_name = cloudflare_workers_script.store.script_name
  settings    = { batch_size = tonumber(var.release) }
}

resource "cloudflare_worker" "beta" {
  account_id    = var.account_id
  name          = "terraform-beta"
  observability = { enabled = true }
  subdomain     = { enabled = true, previews_enabled = false }
}

resource "cloudflare_worker_version" "beta" {
  account_id         = var.account_id
  worker_id          = cloudflare_worker.beta.id
  compatibility_date = "2026-01-01"
  main_module        = "index.js"
  modules = [{
    name           = "index.js"
    content_type   = "application/javascript+module"
    content_base64 = base64encode("export default { fetch: () => new Response('beta ${var.release}') };")
  }]
}

resource "cloudflare_workers_deployment" "beta" {
  account_id  = var.account_id
  script_name = cloudflare_worker.beta.name
  strategy    = "percentage"
  versions    = [{ version_id = cloudflare_worker_version.beta.id, percentage = 100 }]
}
