/** Mails to aiosmtpd. Python's own parser reads them. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';
import type { MailConfig } from '../../../src/jobs/jobFile.ts';
import { failedVm, goodVm, receiverOf, runOf } from '../../helpers/jobs/runs.ts';
import { tellRun } from '../../helpers/jobs/notifications.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';
import { addRow, env } from '../environment.ts';
import { closeServer, listenLocally, ServerProgram } from '../servers.ts';

const PEER = 'aiosmtpd';
const PASSWORD = 'pass word: ÄÖ "x"';
const START_MS = 30_000;

interface FoundMail {
  readonly secure: boolean;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly defects: readonly string[];
  readonly parts: readonly {
    readonly type: string;
    readonly file: string;
    readonly text: string;
  }[];
}

const folder = useTempFolder();
let server: ServerProgram;
let port = 0;

async function answers(): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}

beforeEach(async () => {
  const probe = createServer();
  port = await listenLocally(probe);
  await closeServer(probe);
  const authority = createLabAuthority();
  const { keyPem, certPem } = authority.issue();
  writeFileSync(folder.path('ca.pem'), authority.caPem);
  writeFileSync(folder.path('cert.pem'), certPem);
  writeFileSync(folder.path('key.pem'), keyPem);
  const python = path.join(env('INTEROP_VENV'), 'bin/python');
  server = new ServerProgram(python, [
    path.join(import.meta.dirname, 'smtpServer.py'),
    String(port),
    folder.path('cert.pem'),
    folder.path('key.pem'),
    'backup',
    PASSWORD,
    folder.make('mails'),
  ]);
  await server.waitUntil(answers, START_MS);
});

afterEach(async () => await server.stop());

function mailWith(password: string): MailConfig {
  const file = folder.path('password');
  writeFileSync(file, password, { mode: 0o600 });
  return {
    host: '127.0.0.1',
    port,
    security: 'starttls',
    username: 'backup',
    password: { path: file, credential: 'mail-password' },
    caFile: folder.path('ca.pem'),
    from: 'Sicherung Büro <backup@example.com>',
    to: ['ops@example.com', 'Zweite <second@example.com>'],
  };
}

function mails(): FoundMail[] {
  return readdirSync(folder.path('mails')).map(
    (name) => JSON.parse(readFileSync(folder.path('mails', name), 'utf8')) as FoundMail,
  );
}

it('arrive after STARTTLS and a login, and are well formed', async () => {
  const report = runOf('failure', { vms: [failedVm('db-Ä-🐘'), goodVm('web01')] });

  const told = await tellRun([receiverOf({ mail: mailWith(PASSWORD) })], { report });

  expect(told).toEqual({ sent: 1, failed: 0, messages: [] });
  const [mail, ...others] = mails();
  expect(others).toEqual([]);
  expect(mail).toMatchObject({
    secure: true,
    from: 'backup@example.com',
    to: ['ops@example.com', 'second@example.com'],
    subject: '[ovirt-cbt] FAILED: nightly (2 VMs, 1 failed)',
    defects: [],
  });
  expect(mail?.parts.map(({ type, file }) => [type, file])).toEqual([
    ['text/plain', ''],
    ['text/html', ''],
    ['text/html', 'nightly-20260302T0100.html'],
  ]);
  expect(mail?.parts.every(({ text }) => text.includes('db-Ä-🐘'))).toBe(true);
  addRow(PEER, 'a mail with text, HTML and a page, STARTTLS and a login', true, 'no defects');
});

it('do not arrive with a wrong password', async () => {
  const { failed, messages } = await tellRun([receiverOf({ mail: mailWith('wrong') })]);

  expect(failed).toBe(1);
  expect(messages[0]?.text).toContain('refuses the login (535)');
  expect(mails()).toEqual([]);
  addRow(PEER, 'a wrong password', true, 'refused and told');
});
