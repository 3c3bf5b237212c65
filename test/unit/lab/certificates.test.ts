import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';

test('a serial number is one that DER accepts: no leading zero, no sign', () => {
  const { serialNumber } = new X509Certificate(createLabAuthority().issue().certPem);

  expect(serialNumber).toMatch(/^01[\dA-F]{30}$/);
});

test('a server certificate names the address and is issued by its authority alone', () => {
  const [authority, stranger] = [createLabAuthority(), createLabAuthority()];
  const certificate = new X509Certificate(authority.issue().certPem);

  expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
  expect(certificate.checkHost('localhost')).toBe('localhost');
  expect(certificate.ca).toBe(false);
  expect(certificate.checkIssued(new X509Certificate(authority.caPem))).toBe(true);
  expect(certificate.checkIssued(new X509Certificate(stranger.caPem))).toBe(false);
});
