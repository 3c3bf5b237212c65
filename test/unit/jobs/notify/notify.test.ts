/** Who is told what, how often, and what happens when nobody can be told. */
import { readFileSync, writeFileSync } from 'node:fs';
import pino from 'pino';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../../src/core/log.ts';
import { type SessionMessage, sessionMessage } from '../../../../src/core/messages.ts';
import type { HookConfig, NotifyConfig, NotifyEvent } from '../../../../src/jobs/jobFile.ts';
import { notifyMissed, notifyRun, notifyTest } from '../../../../src/jobs/notify/notify.ts';
import type { NotifyPayload } from '../../../../src/jobs/notify/payload.ts';
import { startMailServer } from '../../../helpers/jobs/mailServer.ts';
import { RETRY_TIMES, tellRun } from '../../../helpers/jobs/notifications.ts';
import {
  ENDED_AT,
  jobWith,
  mailTo,
  pruneOf,
  receiverOf,
  runOf,
  stateAfter,
  verifyOf,
} from '../../../helpers/jobs/runs.ts';
import { startWebhookServer } from '../../../helpers/jobs/webhookServer.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const folder = useTempFolder();
const WARN = sessionMessage('JOB-610', { pattern: 'x' });
const INFO = { ...WARN, level: 'info' } as const;

/** Appends what it is told to a file. */
function writesTo(name: string): HookConfig {
  return { command: ['sh', '-c', `cat >> ${folder.path(name)}`], timeoutMs: 10_000 };
}

/** Wants `on`, and writes what it is told to the file `name`. */
function writingReceiver(name: string, on: readonly NotifyEvent[]): NotifyConfig {
  return receiverOf({ name, on, command: writesTo(name) });
}

function script(text: string, timeoutMs = 10_000): HookConfig {
  return { command: ['sh', '-c', text, 'sh', 'geheim'], timeoutMs };
}

function toldIn(name: string): NotifyPayload[] {
  const lines = readFileSync(folder.path(name), 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as NotifyPayload);
}

function options(messages: SessionMessage[] = []) {
  return {
    now: ENDED_AT,
    logger: silentLogger,
    signal: undefined,
    onMessage: (message: SessionMessage) => messages.push(message),
    retryTimes: RETRY_TIMES,
  };
}

describe('a run', () => {
  it('is told once to each receiver that wants its event', async () => {
    const receivers = [
      writingReceiver('all', ['failure', 'warning', 'success', 'recovered', 'missed']),
      writingReceiver('failures', ['failure']),
      writingReceiver('recoveries', ['failure', 'recovered']),
      writingReceiver('successes', ['success']),
    ];
    const previous = stateAfter('failure');

    const told = await tellRun(receivers, { report: runOf('success'), previous });

    expect(told).toEqual({ sent: 3, failed: 0, messages: [] });
    expect(toldIn('all').map(({ event }) => event)).toEqual(['recovered']);
    expect(toldIn('recoveries').map(({ event }) => event)).toEqual(['recovered']);
    expect(toldIn('successes').map(({ event }) => event)).toEqual(['success']);
    expect(() => toldIn('failures')).toThrow('ENOENT');
  });

  it('is told by all ways of a receiver, though one of them fails', async () => {
    await using server = await startWebhookServer();
    await using mails = await startMailServer();
    const receiver = receiverOf({
      mail: mailTo(mails),
      webhook: { url: server.url, secret: undefined, caFile: undefined, timeoutMs: 5000 },
      command: script('exit 7'),
    });

    const { sent, failed, messages } = await tellRun([receiver]);

    expect({ sent, failed, mails: mails.mails.length }).toEqual({ sent: 2, failed: 1, mails: 1 });
    expect(server.calls).toHaveLength(1);
    expect(messages).toEqual([
      {
        code: 'NTF-903',
        level: 'warn',
        text: 'ops was not told about job nightly by the command sh: it ended with exit code 7.',
        resolution: 'Check the command in the job file. Then run "ovirt-cbt notify-test nightly".',
      },
    ]);
  });

  it.each([
    ['OK: nightly (1 VM)', runOf('success')],
    ['WARNING: nightly (1 VM, 1 with warnings)', runOf('warning', { vms: [warned()] })],
    ['FAILED: nightly (1 VM, 1 not started, prune failed)', stopped()],
    ['FAILED: nightly (0 VMs, plan failed)', unplanned()],
    ['WARNING: nightly (1 VM, prune with warnings)', runOf('warning', { prune: pruneOf(WARN) })],
    [
      'FAILED: nightly (2 VMs, 1 failed, verify failed, prune with warnings)',
      runOf('failure', { prune: pruneOf(WARN), verify: verifyOf({ outcome: 'damaged' }) }),
    ],
  ])('is told in one line: %s', async (text, report) => {
    await tellRun([receiverOf({ command: writesTo('told') })], { report });

    expect(toldIn('told').map((payload) => payload.text)).toEqual([text]);
  });

  it('is told with its failed steps, and all messages are counted', async () => {
    const step = {
      step: 'copy',
      code: 'REPOSITORY_IO',
      message: 'it broke',
      hint: 'mend it',
    } as const;
    const verify = verifyOf({ messages: [WARN, INFO] });
    const report = runOf('failure', {
      failedSteps: [step],
      messages: [WARN],
      prune: pruneOf(WARN, INFO),
      verify,
      vms: [warned()],
    });

    await tellRun([receiverOf({ command: writesTo('told') })], { report });

    expect(toldIn('told')).toMatchObject([{ run: { failedSteps: [step], messageCount: 3 } }]);
  });

  it('is told though its report cannot be shown', async () => {
    await using mails = await startMailServer();
    const mail = mailTo(mails);
    // A report of a newer version, or a bug.
    const report = runOf('failure', { hooks: null as never });

    expect(await tellRun([receiverOf({ mail })], { report })).toMatchObject({ sent: 1, failed: 0 });

    expect(mails.mails[0]?.parsed.text).toContain('FAILED: nightly (2 VMs, 1 failed)');
    expect(mails.mails[0]?.parsed.text).toContain('ovirt-cbt history --job nightly');
  });

  it('of a job without receivers is told to nobody', async () => {
    expect(await tellRun([])).toEqual({ sent: 0, failed: 0, messages: [] });
  });
});

describe('a command that gets notifications', () => {
  it('gets the main facts as variables', async () => {
    const file = folder.path('variables');
    const command = script(`cat > /dev/null; env | grep ^OVIRT_CBT | sort > ${file}`);

    await tellRun([receiverOf({ command })]);

    expect(readFileSync(file, 'utf8').split('\n')).toEqual([
      'OVIRT_CBT_EVENT=failure',
      'OVIRT_CBT_JOB=nightly',
      'OVIRT_CBT_OUTCOME=failure',
      'OVIRT_CBT_RUN_ID=6d0cf5a1-4a3b-4a3e-9d0c-111111111111',
      'OVIRT_CBT_TEXT=FAILED: nightly (2 VMs, 1 failed)',
      '',
    ]);
  });

  it.each([
    [{ command: ['/nowhere/tell', 'geheim'], timeoutMs: 1000 }, 'cannot be started'],
    [script('sleep 1000', 50), 'ended after 50 ms'],
    [script('kill -9 $$'), 'it was killed'],
  ])('and fails is told, without its arguments: %j', async (command, reason) => {
    const { failed, messages } = await tellRun([receiverOf({ command })]);

    expect(failed).toBe(1);
    expect(messages[0]?.text).toContain(reason);
    expect(JSON.stringify(messages)).not.toContain('geheim');
  });
});

describe('missed times', () => {
  const slots = [new Date('2026-03-01T01:00:00Z'), new Date('2026-03-02T01:00:00Z')];

  it('are told together to those who want to know', async () => {
    const job = jobWith(
      receiverOf({ name: 'yes', on: ['missed'], command: writesTo('yes') }),
      receiverOf({ name: 'no', on: ['failure'], command: writesTo('no') }),
    );

    expect(await notifyMissed({ ...options(), job, slots })).toEqual({ sent: 1, failed: 0 });

    expect(toldIn('yes')).toMatchObject([
      {
        event: 'missed',
        text: 'MISSED: nightly (2 runs not started)',
        missedSlots: ['2026-03-01T01:00:00.000Z', '2026-03-02T01:00:00.000Z'],
      },
    ]);
    expect(() => toldIn('no')).toThrow('ENOENT');
  });

  it('are not told when there are none', async () => {
    const job = jobWith(receiverOf({ command: writesTo('told') }));

    expect(await notifyMissed({ ...options(), job, slots: [] })).toEqual({ sent: 0, failed: 0 });
  });
});

describe('a test', () => {
  it('goes to each receiver, whatever it wants, and tells what failed', async () => {
    const job = jobWith(
      receiverOf({ name: 'good', on: [], command: writesTo('good') }),
      receiverOf({ name: 'bad', on: ['missed'], command: script('exit 1') }),
    );

    const deliveries = await notifyTest({ ...options(), job });

    expect(toldIn('good').map(({ event }) => event)).toEqual(['test']);
    expect(deliveries).toMatchObject([
      { receiver: 'good', way: 'command', target: 'sh', failure: undefined },
      { receiver: 'bad', way: 'command', failure: { code: 'NTF-903' } },
    ]);
  });
});

describe('secrets of receivers', () => {
  it('are in no log and no message', async () => {
    const lines: string[] = [];
    const logger = pino({ level: 'trace' }, { write: (line) => lines.push(line) });
    await using server = await startWebhookServer((response) => response.writeHead(500).end());
    const path = folder.path('secret');
    writeFileSync(path, 'geheim', { mode: 0o600 });
    const secret = { path, credential: 'secret' };
    const receiver = receiverOf({
      webhook: { url: `${server.url}/geheim`, secret, caFile: undefined, timeoutMs: 5000 },
      mail: {
        host: '127.0.0.1',
        port: 1,
        security: 'tls',
        username: 'backup',
        password: secret,
        caFile: undefined,
        from: 'a@example.com',
        to: ['b@example.com'],
      },
      command: { command: ['false', 'geheim'], timeoutMs: 1000 },
    });
    const messages: SessionMessage[] = [];

    const count = await notifyRun({
      ...options(messages),
      logger,
      job: jobWith(receiver),
      report: runOf('failure'),
      previous: undefined,
    });

    expect(count).toEqual({ sent: 0, failed: 3 });
    expect(messages).toHaveLength(3);
    expect(lines.length).toBeGreaterThan(3);
    expect(JSON.stringify([lines, messages])).not.toContain('geheim');
  });
});

function warned() {
  const [vm] = runOf('success').vms;
  if (!vm) throw new Error('no VM');
  return { ...vm, outcome: 'warning' as const };
}

function stopped() {
  const step = { step: 'prune', code: 'REPOSITORY_IO', message: 'm', hint: 'h' } as const;
  const vm = { vmName: 'db01', vmId: '1', outcome: 'notStarted', attempts: 0 } as const;
  return runOf('failure', { vms: [vm], failedSteps: [step, step] });
}

function unplanned() {
  const step = { step: 'plan', code: 'ENGINE_UNREACHABLE', message: 'm', hint: 'h' } as const;
  return runOf('failure', { vms: [], failedSteps: [step] });
}
