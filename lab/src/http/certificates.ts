/**
 * The lab's own certificate authority. Everything stays in memory. Keys are made once per process.
 * Every authority has another name, so that trust in one is no trust in another.
 */
import { constants, generateKeyPairSync, privateEncrypt, randomBytes } from 'node:crypto';
import forge from 'node-forge';
import type { LabAuthority } from '../dataPlane.ts';

const KEY_BITS = 2048;
const DAY_MS = 86_400_000;
const VALID_DAYS = 365;
/** Subject alternative name types of X.509. */
const SAN_DNS = 2;
const SAN_IP = 7;

/** The part of a private key that forge needs to sign a certificate. */
interface SigningKey {
  sign(digest: forge.md.MessageDigest): forge.Bytes;
}

interface KeyPair {
  readonly privatePem: string;
  readonly privateKey: SigningKey;
  readonly publicKey: forge.pki.rsa.PublicKey;
}

interface KeyRing {
  readonly authority: KeyPair;
  readonly server: KeyPair;
}

/** Start of a DigestInfo with a SHA-256 (RFC 8017, 9.2). */
const SHA256_DIGEST_INFO = Buffer.from('3031300d060960864801650304020105000420', 'hex');

/** Signs in native code: forge's arithmetic took a fifth of the time of tests that start a lab. */
function signingKey(privatePem: string): SigningKey {
  return {
    sign: (digest) => {
      const info = [SHA256_DIGEST_INFO, Buffer.from(digest.digest().getBytes(), 'latin1')];
      const key = { key: privatePem, padding: constants.RSA_PKCS1_PADDING };
      return privateEncrypt(key, Buffer.concat(info)).toString('latin1');
    },
  };
}

let sharedKeys: KeyRing | undefined;
let sharedAuthority: LabAuthority | undefined;

function makeKeyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: KEY_BITS,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  return {
    privatePem: privateKey,
    privateKey: signingKey(privateKey),
    publicKey: forge.pki.publicKeyFromPem(publicKey),
  };
}

function keyRing(): KeyRing {
  sharedKeys ??= { authority: makeKeyPair(), server: makeKeyPair() };
  return sharedKeys;
}

/**
 * A unique number. Its first byte keeps it positive and without leading zeros, which DER forbids.
 */
function makeSerial(): string {
  return `01${randomBytes(15).toString('hex')}`;
}

function makeCertificate(
  commonName: string,
  publicKey: forge.pki.PublicKey,
): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = publicKey;
  certificate.serialNumber = makeSerial();
  certificate.validity.notBefore = new Date(Date.now() - DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + VALID_DAYS * DAY_MS);
  certificate.setSubject([
    { name: 'organizationName', value: 'ovirt-cbt lab' },
    { name: 'commonName', value: commonName },
  ]);
  return certificate;
}

function sign(certificate: forge.pki.Certificate, { privateKey }: KeyPair): void {
  certificate.sign(privateKey as unknown as forge.pki.rsa.PrivateKey, forge.md.sha256.create());
}

function makeAuthorityCertificate(keys: KeyPair): forge.pki.Certificate {
  const name = `lab CA ${randomBytes(6).toString('hex')}`;
  const certificate = makeCertificate(name, keys.publicKey);
  certificate.setIssuer(certificate.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', critical: true, cA: true },
    { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  sign(certificate, keys);
  return certificate;
}

function makeServerCertificate(
  issuer: forge.pki.Certificate,
  keys: KeyRing,
): forge.pki.Certificate {
  const certificate = makeCertificate('127.0.0.1', keys.server.publicKey);
  certificate.setIssuer(issuer.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', critical: true, cA: false },
    { name: 'keyUsage', critical: true, digitalSignature: true, keyEncipherment: true },
    { name: 'extKeyUsage', serverAuth: true },
    {
      name: 'subjectAltName',
      altNames: [
        { type: SAN_IP, ip: '127.0.0.1' },
        { type: SAN_DNS, value: 'localhost' },
      ],
    },
  ]);
  sign(certificate, keys.authority);
  return certificate;
}

/** Makes a CA. The same CA signs the engine and imageio, as on a real installation. */
export function createLabAuthority(): LabAuthority {
  const keys = keyRing();
  const authority = makeAuthorityCertificate(keys.authority);
  return {
    caPem: forge.pki.certificateToPem(authority),
    issue: () => ({
      keyPem: keys.server.privatePem,
      certPem: forge.pki.certificateToPem(makeServerCertificate(authority, keys)),
    }),
  };
}

/** The CA that all labs of a process share, so that clients parse it once. */
export function labAuthority(): LabAuthority {
  return (sharedAuthority ??= createLabAuthority());
}
