/** The certificates that connections trust. */
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';

function trustedCertificates(caPem: string | undefined): string[] {
  // Both kinds are needed: the engine may have a public certificate, but imageio has one of the
  // engine's internal CA.
  return caPem === undefined ? [...rootCertificates] : [...rootCertificates, caPem];
}

let newest: { readonly caPem: string | undefined; readonly context: SecureContext } | undefined;

/** Connections share it: parsing 150 certificates costs more than a handshake. */
export function secureContextFor(caPem: string | undefined): SecureContext {
  if (!newest || newest.caPem !== caPem) {
    newest = { caPem, context: createSecureContext({ ca: trustedCertificates(caPem) }) };
  }
  return newest.context;
}
