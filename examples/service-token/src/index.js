import { createRemoteJWKSet, jwtVerify } from "jose";

// Access lets a request in or refuses it before this code runs. The code verifies the assertion all the same: it says
// who the caller is, and proves that the request came through Access.
export default {
  async fetch(request, env) {
    const { origin } = new URL(request.url);
    const token = request.headers.get("cf-access-jwt-assertion");
    if (token === null) return new Response("no assertion of Access\n", { status: 403 });
    try {
      const keys = createRemoteJWKSet(new URL(`${origin}/cdn-cgi/access/certs`));
      const { payload } = await jwtVerify(token, keys, {
        issuer: origin,
        audience: env.POLICY_AUD,
      });
      return new Response(`hello ${payload.common_name}\n`);
    } catch (error) {
      return new Response(`not an assertion for this Worker: ${error.message}\n`, { status: 403 });
    }
  },
};
