// `worker` 0.8.7 has no type with this name yet. A certificate binding is a `Fetcher`.
use worker::Fetcher as MtlsCertificate;
use worker::*;

#[event(fetch)]
pub async fn main(_req: Request, env: Env, _ctx: Context) -> Result<Response> {
    // Get the mTLS certificate binding
    let cert = env.get_binding::<MtlsCertificate>("MY_CERT")?;

    // Make an authenticated request
    // The certificate is presented automatically during TLS handshake
    let response = cert.fetch("https://api.example.com/endpoint", None).await?;

    Ok(response)
}
