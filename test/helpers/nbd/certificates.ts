/** Certificates for tests of TLS, made by openssl, with the names that QEMU and libnbd expect. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

function openssl(folder: string, ...args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
}

function makeAuthority(folder: string): void {
  const files = ['-keyout', 'ca-key.pem', '-out', 'ca-cert.pem'];
  const extensions = ['-addext', 'keyUsage=critical,keyCertSign'];
  openssl(folder, 'req', '-x509', ...NEW_KEY, ...files, '-subj', '/CN=test CA', ...extensions);
}

function makeCertificate(folder: string, role: 'server' | 'client'): void {
  const request = ['-keyout', `${role}-key.pem`, '-out', `${role}.csr`, '-subj', '/CN=localhost'];
  openssl(folder, 'req', ...NEW_KEY, ...request);
  const extensions = [
    'subjectAltName=DNS:localhost,IP:127.0.0.1',
    'keyUsage=critical,digitalSignature',
    `extendedKeyUsage=${role}Auth`,
  ];
  writeFileSync(path.join(folder, 'extensions'), extensions.join('\n'));
  const signer = ['-CA', 'ca-cert.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial'];
  const files = ['-in', `${role}.csr`, '-out', `${role}-cert.pem`, '-extfile', 'extensions'];
  openssl(folder, 'x509', '-req', ...files, ...signer);
}

/** Makes a folder with a CA of its own, and certificates of a server and a client. */
export function makeCertificates(folder: string): string {
  mkdirSync(folder, { recursive: true });
  makeAuthority(folder);
  makeCertificate(folder, 'server');
  makeCertificate(folder, 'client');
  return folder;
}
