// The host lets in clients with a good certificate only. This code decides what each of them may do.
const MAY_WRITE = new Set(["CN=billing,O=Acme"]);

export default {
  fetch(request) {
    const { certVerified, certRevoked, certSubjectDNRFC2253: client } = request.cf.tlsClientAuth;
    // Always so while the host is `required`. At an `optional` one this line is what refuses.
    if (certVerified !== "SUCCESS" || certRevoked !== "0") {
      return new Response("a good client certificate is needed\n", { status: 403 });
    }
    if (request.method !== "GET" && !MAY_WRITE.has(client)) {
      return new Response(`${client} may only read\n`, { status: 403 });
    }
    return new Response(`${request.method} by ${client}\n`);
  },
};
