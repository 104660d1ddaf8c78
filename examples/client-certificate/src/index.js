// The host lets in only clients with a valid certificate. This code decides what each client may do.
const MAY_WRITE = new Set(["CN=billing,O=Acme"]);

export default {
  fetch(request) {
    const { certVerified, certRevoked, certSubjectDNRFC2253: client } = request.cf.tlsClientAuth;
    // A `required` host has refused such clients already. At an `optional` host, this check refuses them.
    if (certVerified !== "SUCCESS" || certRevoked !== "0") {
      return new Response("a good client certificate is needed\n", { status: 403 });
    }
    if (request.method !== "GET" && !MAY_WRITE.has(client)) {
      return new Response(`${client} may only read\n`, { status: 403 });
    }
    return new Response(`${request.method} by ${client}\n`);
  },
};
