// Certificates for localhost, made with openssl, and what a fresh connection is shown.
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { scratch } from "./paths.js";

/** A new self-signed certificate for localhost and `names`: its files and its fingerprint. */
export function makeCertificate(...names) {
  const directory = scratch();
  const certificate = join(directory, "certificate.pem");
  const key = join(directory, "key.pem");
  const ask = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"];
  const name = ["-subj", "/CN=localhost", "-addext", ["subjectAltName=IP:127.0.0.1", ...["localhost", ...names].map((name) => `DNS:${name}`)].join()];
  execFileSync("openssl", [...ask, ...name, "-keyout", key, "-out", certificate], { stdio: "pipe" });
  return { certificate, key, fingerprint: new X509Certificate(readFileSync(certificate)).fingerprint256 };
}

/** One of no authority's, for a server that clients other than browsers are told to trust: these refuse what openssl makes by default. */
export function makeServerCertificate() {
  const directory = scratch();
  const [certificate, key, settings] = ["certificate.pem", "key.pem", "openssl.cnf"].map((file) => join(directory, file));
  writeFileSync(settings, "[req]\ndistinguished_name = dn\n[dn]\n");
  const ask = ["req", "-x509", "-config", settings, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"];
  const name = ["-subj", "/CN=server", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"];
  execFileSync("openssl", [...ask, ...name, "-keyout", key, "-out", certificate], { stdio: "pipe" });
  return { certificate, key };
}

/** Puts a certificate where the door looks for its own, file after file, as a renewal does. */
export function install(made, files) {
  copyFileSync(made.certificate, files.certificate);
  copyFileSync(made.key, files.key);
}

/** The fingerprint that a new connection is shown. */
export function shown(port) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", servername: "localhost", rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}
