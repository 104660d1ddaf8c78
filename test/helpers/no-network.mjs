// Loaded before a program (`--import`). It prints on stderr which addresses beyond this machine the program, or its
// Node children, try to reach, and lets none be reached.
import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";

const local = /^(localhost|127\.\d+\.\d+\.\d+|::1|0\.0\.0\.0|::)$/;

function refuse(host) {
  process.stderr.write(`\nREACHED OUT to ${host}\n`);
}

const { lookup } = dns;
dns.lookup = function (host, options, callback) {
  if (local.test(host)) lookup.call(this, host, options, callback);
  // Never answered, as behind a firewall that drops packets, so a program that waits for an answer is noticed.
  else refuse(host);
};

// oxlint-disable-next-line typescript/unbound-method -- called with the socket it is asked of
const { connect } = net.Socket.prototype;
net.Socket.prototype.connect = function (...args) {
  const [first] = args.flat();
  const host = typeof first === "object" ? first?.host : args[1];
  if (typeof host === "string" && net.isIP(host) && !local.test(host)) refuse(host);
  return connect.apply(this, args);
};

syncBuiltinESMExports();
