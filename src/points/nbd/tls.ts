/** TLS of a server: its certificates from a folder, and the handshake on an accepted socket. */
import { open } from 'node:fs/promises';
import type { Socket } from 'node:net';
import path from 'node:path';
import { createSecureContext, createServer, type TlsOptions, type TLSSocket } from 'node:tls';
import { errnoOf, invariant, UsageError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import { checkCertificate, checkKeyPair, type PemFile } from '../../store/keyPair.ts';
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
    [TLS_FILES.ca, TLS_FILES.cert, TLS_FILES.key].map(
      async (name) => await readPem(path.join(folder, name)),
    ),
  );
  invariant(ca && cert && key, 'three files were read');
  checkCertificate(ca, HINT);
  checkKeyPair(cert, key, HINT);
  const options: TlsOptions = {
    ca: ca.pem,
    cert: cert.pem,
    key: key.pem,
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

async function readPem(file: string): Promise<PemFile> {
  try {
    const handle = await open(file, 'r');
    try {
      const bytes = Buffer.alloc(MAX_FILE_BYTES);
      const { bytesRead } = await handle.read(bytes, 0, MAX_FILE_BYTES, 0);
      return { file, pem: bytes.toString('latin1', 0, bytesRead) };
    } finally {
      await handle.close();
    }
  } catch (error) {
    const reason = plainReason(errnoOf(error) ?? String(error));
    throw invalid(`${file} cannot be read: ${reason}`, HINT);
  }
}

function invalid(text: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', text, { hint });
}
