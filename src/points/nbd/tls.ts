/** TLS of a server: its certificates from a folder, and the handshake on an accepted socket. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Socket } from 'node:net';
import path from 'node:path';
import { createSecureContext, createServer, type TlsOptions, type TLSSocket } from 'node:tls';
import { errnoOf, UsageError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import { MIB } from '../../core/units.ts';

/** Names as QEMU and libnbd have them. */
export const TLS_FILES = {
  ca: 'ca-cert.pem',
  cert: 'server-cert.pem',
  key: 'server-key.pem',
} as const;
const MAX_FILE_BYTES = MIB;
const HINT = `a TLS folder has ${Object.values(TLS_FILES).join(', ')}, all in PEM`;

/** Encrypts a connection. @throws {@link TlsRefused} for a client without a trusted certificate */
export type TlsStarter = (socket: Socket) => Promise<TLSSocket>;

/** A client whose handshake failed. */
export class TlsRefused extends Error {}

/**
 * Reads and checks the certificates of a folder.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a file that is missing, that cannot be read
 *   or is none, and for a key that does not fit its certificate
 */
export async function loadTls(folder: string): Promise<TlsStarter> {
  const [ca, cert, key] = await Promise.all(
    [TLS_FILES.ca, TLS_FILES.cert, TLS_FILES.key].map((name) => readPem(path.join(folder, name))),
  );
  checkCertificate(path.join(folder, TLS_FILES.ca), ca ?? '');
  const certFile = path.join(folder, TLS_FILES.cert);
  const certificate = checkCertificate(certFile, cert ?? '');
  const keyFile = path.join(folder, TLS_FILES.key);
  if (!certificate.checkPrivateKey(parseKey(keyFile, key ?? ''))) {
    throw invalid(`${keyFile} is not the key of ${certFile}`, 'copy both files of one pair');
  }
  const options: TlsOptions = {
    ca,
    cert,
    key,
    minVersion: 'TLSv1.2',
    requestCert: true,
    rejectUnauthorized: true,
  };
  try {
    createSecureContext(options);
  } catch (error) {
    throw invalid(`the certificates of ${folder} cannot be used: ${String(error)}`, HINT);
  }
  return async (socket) => await handshake(socket, options);
}

/** The server of `node:tls` is the public way to the checks of a client's certificate. */
async function handshake(socket: Socket, options: TlsOptions): Promise<TLSSocket> {
  return await new Promise((resolve, reject) => {
    const server = createServer(options);
    server.once('secureConnection', (secure) => {
      secure.on('error', () => {});
      resolve(secure);
    });
    server.once('tlsClientError', (error, secure) => {
      secure.destroy();
      // Node destroys a client that is not trusted and says only that the connection ended.
      const untrusted: unknown = secure.authorizationError;
      const reason = typeof untrusted === 'string' ? untrusted : errnoOf(error);
      reject(new TlsRefused(reason ?? error.message));
    });
    server.emit('connection', socket);
  });
}

async function readPem(file: string): Promise<string> {
  try {
    const handle = await open(file, 'r');
    try {
      const bytes = Buffer.alloc(MAX_FILE_BYTES);
      const { bytesRead } = await handle.read(bytes, 0, MAX_FILE_BYTES, 0);
      return bytes.toString('latin1', 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    const reason = plainReason(errnoOf(error) ?? String(error));
    throw invalid(`${file} cannot be read: ${reason}`, HINT);
  }
}

function checkCertificate(file: string, pem: string): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    throw invalid(`${file} is not a certificate in PEM`, HINT);
  }
  if (Date.parse(certificate.validTo) < Date.now()) {
    throw invalid(`${file} has expired on ${certificate.validTo}`, 'make a new certificate');
  }
  return certificate;
}

function parseKey(file: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    const isLocked = pem.includes('ENCRYPTED');
    const what = isLocked ? 'is locked by a passphrase' : 'is not a private key in PEM';
    throw invalid(`${file} ${what}`, isLocked ? 'take the passphrase off the key' : HINT);
  }
}

function invalid(text: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', text, { hint });
}
