/** A certificate of a server and its private key, in PEM, with checks that name the file. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import { UsageError } from '../core/errors.ts';

export interface PemFile {
  readonly file: string;
  readonly pem: string;
}

export interface KeyPair {
  /** The certificate, and those between it and its CA. */
  readonly cert: string;
  readonly key: string;
  /** True for a name or address that the certificate has. */
  readonly isNameOf: (host: string) => boolean;
}

function invalid(text: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', text, { hint });
}

/**
 * @param hint - says what the files should be.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a certificate that is none or has expired
 */
export function checkCertificate({ file, pem }: PemFile, hint: string): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    throw invalid(`${file} is not a certificate in PEM`, hint);
  }
  if (Date.parse(certificate.validTo) < Date.now()) {
    throw invalid(`${file} has expired on ${certificate.validTo}`, 'make a new certificate');
  }
  return certificate;
}

function parseKey({ file, pem }: PemFile, hint: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    const isLocked = pem.includes('ENCRYPTED');
    const what = isLocked ? 'is locked by a passphrase' : 'is not a private key in PEM';
    throw invalid(`${file} ${what}`, isLocked ? 'take the passphrase off the key' : hint);
  }
}

/**
 * @param hint - says what the files should be.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` as {@link checkCertificate}, for a key that is
 *   none, and for one of another certificate
 */
export function checkKeyPair(cert: PemFile, key: PemFile, hint: string): KeyPair {
  const certificate = checkCertificate(cert, hint);
  if (!certificate.checkPrivateKey(parseKey(key, hint))) {
    throw invalid(`${key.file} is not the key of ${cert.file}`, 'copy both files of one pair');
  }
  try {
    createSecureContext({ cert: cert.pem, key: key.pem });
  } catch (error) {
    throw invalid(`${cert.file} and ${key.file} cannot be used: ${String(error)}`, hint);
  }
  const isNameOf = (host: string): boolean =>
    (isIP(host) > 0 ? certificate.checkIP(host) : certificate.checkHost(host)) !== undefined;
  return { cert: cert.pem, key: key.pem, isNameOf };
}
