/** Mails through a real SMTP server. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import type { SMTPServerOptions } from 'smtp-server';
import { describe, expect, it } from 'vitest';
import type { MailConfig } from '../../../../src/jobs/jobFile.ts';
import { type MailServer, smtpError, startMailServer } from '../../../helpers/jobs/mailServer.ts';
import { tellRun, type Told } from '../../../helpers/jobs/notifications.ts';
import { mailTo, receiverOf, runOf, stateAfter } from '../../../helpers/jobs/runs.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const PASSWORD = 'pass word: ÄÖ "geheim"';

const folder = useTempFolder();

function trusted({ caPem }: MailServer): Pick<MailConfig, 'caFile'> {
  const caFile = folder.path('ca.pem');
  writeFileSync(caFile, caPem);
  return { caFile };
}

function login(text = PASSWORD): Pick<MailConfig, 'username' | 'password'> {
  const path = folder.path('password');
  writeFileSync(path, `${text}\n`, { mode: 0o600 });
  return { username: 'backup', password: { path, credential: 'mail-password' } };
}

async function tell(mail: MailConfig): Promise<Told> {
  return await tellRun([receiverOf({ mail })]);
}

/** A server that knows one user. */
const CHECKS_LOGIN: SMTPServerOptions = {
  authOptional: false,
  onAuth: ({ username, password }, _session, callback) => {
    if (username === 'backup' && password === PASSWORD) callback(null, { user: username });
    // Some servers repeat what they got.
    else callback(smtpError(535, `no login with ${password}`));
  },
};

describe('a mail', () => {
  it('has text, HTML and the page of the run', async () => {
    await using server = await startMailServer();

    expect(await tell(mailTo(server))).toEqual({ sent: 1, failed: 0, messages: [] });

    const [{ parsed, from, to } = { parsed: undefined, from: '', to: [] }] = server.mails;
    expect({ from, to }).toEqual({ from: 'backup@example.com', to: ['ops@example.com'] });
    expect(parsed?.subject).toBe('[ovirt-cbt] FAILED: nightly (2 VMs, 1 failed)');
    expect(parsed?.from?.text).toBe('"Backup" <backup@example.com>');
    expect(parsed?.headers.get('auto-submitted')).toBe('auto-generated');
    expect(parsed?.text).toContain('db01 is locked');
    expect(String(parsed?.html)).toContain('db01 is locked');
    const [page, ...others] = parsed?.attachments ?? [];
    expect(others).toEqual([]);
    expect(page).toMatchObject({
      filename: 'nightly-20260302T0100.html',
      contentType: 'text/html',
    });
    expect(page?.content.toString('utf8')).toContain('<!doctype html>');
  });

  it('tells the last good point of a VM that failed', async () => {
    await using server = await startMailServer();
    const lastSuccessAt = '2026-02-27T01:20:00.000Z';
    const vm = { vmName: 'db01', vmId: 'id-of-db01', lastOutcome: 'success' as const };
    const previous = stateAfter('success', { vms: [{ ...vm, lastSuccessAt }] });

    await tellRun([receiverOf({ mail: mailTo(server) })], { previous });

    expect(server.mails[0]?.parsed.text).toMatch(/Last good point: 2026-02-27/);
  });

  it('is one mail to all addresses', async () => {
    await using server = await startMailServer();

    await tell(mailTo(server, { to: ['a@example.com', 'Büro <b@example.com>'] }));

    expect(server.mails.map(({ to }) => to)).toEqual([['a@example.com', 'b@example.com']]);
  });

  it.each(['starttls', 'tls'] as const)('goes over %s, with a login', async (security) => {
    await using server = await startMailServer({ ...CHECKS_LOGIN, secure: security === 'tls' });

    const told = await tell(mailTo(server, { security, ...trusted(server), ...login() }));

    expect(told.messages).toEqual([]);
    expect(server.mails).toMatchObject([{ isSecure: true, user: 'backup' }]);
  });

  it.each(['starttls', 'tls'] as const)(
    'is not sent over %s when the certificate is not trusted',
    async (security) => {
      await using server = await startMailServer({ ...CHECKS_LOGIN, secure: security === 'tls' });

      const { failed, messages } = await tell(mailTo(server, { security, ...login() }));

      expect(failed).toBe(1);
      expect(server.mails).toEqual([]);
      expect(messages[0]).toMatchObject({ code: 'NTF-901', level: 'warn' });
      expect(messages[0]?.text).toContain('its certificate is not trusted');
      expect(messages[0]?.resolution).toContain('caFile');
    },
  );

  it.each(['starttls', 'tls'] as const)(
    'is not sent over %s to a server of another name',
    async (security) => {
      const host = '127.0.0.2';
      await using server = await startMailServer({ secure: security === 'tls' }, host);

      const { failed, messages } = await tell(
        mailTo(server, { host, security, ...trusted(server) }),
      );

      expect(failed).toBe(1);
      expect(server.mails).toEqual([]);
      expect(messages[0]?.text).toContain('ERR_TLS_CERT_ALTNAME_INVALID');
    },
  );

  it('is not sent to a server without STARTTLS', async () => {
    await using server = await startMailServer({
      hideSTARTTLS: true,
      disabledCommands: ['STARTTLS'],
    });

    const { failed, messages } = await tell(
      mailTo(server, { security: 'starttls', ...trusted(server) }),
    );

    expect(failed).toBe(1);
    expect(server.mails).toEqual([]);
    expect(messages[0]?.text).toContain('STARTTLS');
  });

  it('is not sent with a wrong password, which no message shows', async () => {
    await using server = await startMailServer({ ...CHECKS_LOGIN, secure: true });
    const wrong = 'geheim-and-wrong';

    const mail = mailTo(server, { security: 'tls', ...trusted(server), ...login(wrong) });
    const { failed, messages } = await tell(mail);

    expect(failed).toBe(1);
    expect(server.connections()).toBe(1);
    expect(messages[0]?.text).toContain('refuses the login (535)');
    expect(JSON.stringify(messages)).not.toContain('geheim');
  });

  it('sends no password in the clear over a network', async () => {
    const mail = mailTo({ port: 25 }, { host: 'mail.example', ...login() });

    const { failed, messages } = await tell(mail);

    expect(failed).toBe(1);
    expect(messages[0]?.text).toContain('without TLS');
  });

  it('whose password file others can read is not sent', async () => {
    await using server = await startMailServer();
    const path = folder.path('open');
    writeFileSync(path, 'geheim', { mode: 0o644 });
    const password = { path, credential: 'mail-password' };

    const { failed, messages } = await tell(mailTo(server, { username: 'backup', password }));

    expect(failed).toBe(1);
    expect(messages[0]?.resolution).toContain(`chmod 600 ${path}`);
    expect(JSON.stringify(messages)).not.toContain('geheim');
  });

  it('to a server that is down is told', async () => {
    const server = await startMailServer();
    await server[Symbol.asyncDispose]();

    const { sent, failed, messages } = await tell(mailTo(server));

    expect({ sent, failed }).toEqual({ sent: 0, failed: 1 });
    expect(messages[0]?.text).toContain('ECONNREFUSED');
    expect(messages[0]?.resolution).toContain('ovirt-cbt notify-test nightly');
  });

  it('is tried again after a temporary answer, with the same id', async () => {
    let tries = 0;
    await using server = await startMailServer({
      onMailFrom: (_address, _session, callback) => {
        tries++;
        callback(tries === 1 ? smtpError(451, 'try later') : null);
      },
    });

    expect(await tell(mailTo(server))).toMatchObject({ sent: 1, failed: 0 });
    expect({ tries, mails: server.mails.length }).toEqual({ tries: 2, mails: 1 });
    expect(server.mails[0]?.parsed.messageId).toMatch(/^<[\da-f-]{36}@ovirt-cbt>$/);
  });

  it('is not tried again after an answer that is final', async () => {
    await using server = await startMailServer({
      onMailFrom: (_address, _session, callback) => callback(smtpError(550, 'no\u001B[31m mails')),
    });

    const { failed, messages } = await tell(mailTo(server));

    expect(failed).toBe(1);
    expect(server.connections()).toBe(1);
    expect(messages[0]?.text).toMatch(/the server answers "550 no.?\[31m mails"/);
    expect(messages[0]?.text).not.toContain('\u001B');
  });

  it('that is refused after its text is told', async () => {
    await using server = await startMailServer({
      onData: (stream, _session, callback) => {
        stream.resume().on('end', () => callback(smtpError(552, 'too large')));
      },
    });

    const { failed, messages } = await tell(mailTo(server));

    expect(failed).toBe(1);
    expect(messages[0]?.text).toContain('552 too large');
  });

  it('that some addresses do not get is told', async () => {
    await using server = await startMailServer({
      onRcptTo: ({ address }, _session, callback) => {
        callback(address.startsWith('gone') ? smtpError(550, 'no such user') : null);
      },
    });

    const told = await tell(mailTo(server, { to: ['ops@example.com', 'gone@example.com'] }));

    expect(told).toMatchObject({ sent: 0, failed: 1 });
    expect(server.mails.map(({ to }) => to)).toEqual([['ops@example.com']]);
    expect(told.messages[0]).toMatchObject({ code: 'NTF-904' });
    expect(told.messages[0]?.text).toContain('gone@example.com');
  });

  it('gets no header from a name of a step or an address', async () => {
    await using server = await startMailServer();
    const report = runOf('failure', {
      jobName: 'nightly\r\nBcc: thief@example.com\r\n\r\nbody',
      failedSteps: [
        { step: 'prune', code: 'REPOSITORY_IO', message: 'a\r\nBcc: b@example.com', hint: 'c' },
      ],
    });
    const mail = mailTo(server, { from: 'Backup\r\nBcc: thief@example.com <backup@example.com>' });

    await tellRun([receiverOf({ mail })], { report });

    const [head = ''] = server.mails[0]?.raw.split('\r\n\r\n') ?? [];
    expect(head).not.toMatch(/^Bcc:/im);
    expect(server.mails[0]?.to).toEqual(['ops@example.com']);
    expect(server.mails[0]?.parsed.subject).toMatch(/^\[ovirt-cbt\] FAILED: nightly/);
  });

  it('to a server that answers for ever, little by little, is given up', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.write('220 ready\r\n');
      const timer = setInterval(() => socket.write('250-more\r\n'), 20);
      socket.on('close', () => clearInterval(timer));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;

    const told = await tellRun([receiverOf({ mail: mailTo({ port }) })], { mailLimitMs: 300 });

    expect(told).toMatchObject({ sent: 0, failed: 1, messages: [{ code: 'NTF-901' }] });
    expect(told.messages[0]?.text).toContain('did not take the mail within 300 ms');
    server.close();
  });

  it('ends when the run is stopped', async () => {
    const stop = new AbortController();
    await using server = await startMailServer({
      // Never answers.
      onMailFrom: () => stop.abort(),
    });

    const told = await tellRun([receiverOf({ mail: mailTo(server) })], { signal: stop.signal });

    expect(told).toMatchObject({ sent: 0, failed: 1 });
    expect(told.messages[0]?.text).toContain('the run was stopped');
  });
});
