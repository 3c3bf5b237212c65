/** The command notify-test, with a receiver of each kind. */
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { startMailServer } from '../../helpers/jobs/mailServer.ts';
import { startWebhookServer } from '../../helpers/jobs/webhookServer.ts';
import { expectFailure, runCli } from '../../helpers/cli/cli.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const folder = useTempFolder();

/** A job file with the receivers `mails`, `hooks` and `broken`. */
function writeJobFile(mailPort: number, hookUrl: string): string {
  const file = folder.path('ovirt-cbt.yaml');
  for (const name of ['password', 'secret']) {
    writeFileSync(folder.path(name), 'geheim\n', { mode: 0o600 });
  }
  const job = { engine: 'prod', repository: 'main', vms: { all: true } };
  const content = {
    engines: {
      prod: {
        url: 'https://engine.example/ovirt-engine',
        username: 'admin@internal',
        passwordFile: 'password',
      },
    },
    repositories: { main: { path: folder.path('repo') } },
    notify: {
      mails: {
        on: ['failure'],
        mail: {
          host: '127.0.0.1',
          port: mailPort,
          security: 'none',
          from: 'backup@example.com',
          to: ['ops@example.com'],
        },
      },
      hooks: { on: ['missed'], webhook: { url: hookUrl, secretFile: 'secret' } },
      broken: { command: { command: ['sh', '-c', 'exit 3'] } },
    },
    jobs: {
      nightly: { ...job, notify: ['mails', 'hooks'] },
      weekly: { ...job, notify: ['hooks', 'broken'] },
      silent: job,
    },
  };
  // JSON is YAML too.
  writeFileSync(file, JSON.stringify(content, null, 2));
  return file;
}

describe('notify-test', () => {
  it('sends a test to each receiver of the job, and shows the result', async () => {
    await using mails = await startMailServer();
    await using hooks = await startWebhookServer();
    const file = writeJobFile(mails.port, hooks.url);

    const result = await runCli(['notify-test', 'nightly', '--file', file]);

    expect(result).toMatchObject({ exitCode: 0, stderr: '' });
    expect(result.stdout).toMatch(/mails +mail +127\.0\.0\.1:\d+ +delivered/);
    expect(result.stdout).toMatch(/hooks +webhook +http:\/\/127\.0\.0\.1:\d+ +delivered/);
    expect(mails.mails[0]?.parsed.subject).toContain('[ovirt-cbt] TEST: nightly');
    expect(hooks.calls[0]?.headers).toHaveProperty('x-ovirt-cbt-signature');
    expect(JSON.parse(hooks.calls[0]?.body ?? '')).toMatchObject({ event: 'test', job: 'nightly' });
  });

  it('tells with --json what was not delivered, with exit code 3', async () => {
    await using hooks = await startWebhookServer();
    const file = writeJobFile(1, hooks.url);

    const result = await runCli(['notify-test', 'weekly', '--file', file, '--json']);

    expect(result.exitCode).toBe(3);
    expect(JSON.parse(result.stdout)).toEqual({
      type: 'notify_test',
      job: 'weekly',
      deliveries: [
        { receiver: 'hooks', way: 'webhook', target: new URL(hooks.url).origin, isDelivered: true },
        {
          receiver: 'broken',
          way: 'command',
          target: 'sh',
          isDelivered: false,
          code: 'NTF-903',
        },
      ],
    });
    expect(result.stderr).toContain('it ended with exit code 3');
    expect(result.stdout + result.stderr).not.toContain('geheim');
  });

  it.each([
    ['nigthly', 'nightly'],
    ['silent', 'docs/monitoring.md'],
  ])('refuses the job %s with a hint', async (job, hint) => {
    const file = writeJobFile(1, 'http://127.0.0.1:1/');

    const result = await runCli(['notify-test', job, '--file', file]);

    expectFailure(result, 'USAGE_NOT_FOUND', 2);
    expect(result.stderr).toContain(hint);
  });
});
