/** The summary of a backup of several VMs, and the bottleneck of a session. */
import { describe, expect, test } from 'vitest';
import { formatJob } from '../../../src/cli/output/jobOutput.ts';
import { formatSession } from '../../../src/cli/output/sessionOutput.ts';
import { sessionMessage } from '../../../src/core/messages.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { diskReport, sessionReport } from '../../helpers/repository/madeUp.ts';

const ID = '8ce65922-79a0-4534-b274-4571784b7b07';
const FAILURE = {
  vmName: 'gone',
  code: 'USAGE_NOT_FOUND',
  message: 'the engine knows no VM "gone"',
  hint: 'an id works too',
} as const;

function session(vmName: string, ...messages: SessionReport['messages']): SessionReport {
  const disks = [diskReport(), { ...diskReport(), mode: 'full' as const }];
  return sessionReport({ vmName, disks, messages });
}

/** The lines of the summary, from its title on. */
function summaryOf(columns: number, sessions: readonly SessionReport[]): string[] {
  const text = formatJob(
    { type: 'job', sessions, failures: [FAILURE] },
    { columns, isColoured: false },
  );
  return text.split('\n\n').at(-1)?.split('\n') ?? [];
}

describe('a backup of several VMs', () => {
  const raw = {
    ...sessionMessage('DSK-112'),
    text: `Disk a (${ID}) was modified while it was read`,
  };
  const sessions = [
    session('web', sessionMessage('REPO-505', { file: 'x' }), raw),
    session('db'),
    session('bad', raw, {
      ...raw,
      level: 'error',
      code: 'REPO-501',
      text: 'The chain is damaged.',
    }),
  ];

  test('ends with a line per VM: result, modes, figures, worst message', () => {
    expect(summaryOf(140, sessions)).toEqual([
      '4 VMs: 1 ok, 1 warning, 1 error, 1 failed',
      'vm    result   mode           read      stored    duration  worst message',
      'bad   error    compare, full  8.00 KiB  2.00 KiB     2.0 s  REPO-501 The chain is damaged.',
      'db    ok       compare, full  8.00 KiB  2.00 KiB     2.0 s',
      'gone  failed   -                     -         -         -  USAGE_NOT_FOUND the engine knows no VM "gone"',
      'web   warning  compare, full  8.00 KiB  2.00 KiB     2.0 s  DSK-112 Disk a was modified while it was read',
    ]);
  });

  test('has the messages under the rows where there is no room', () => {
    expect(summaryOf(80, sessions).slice(-5)).toEqual([
      'db    ok       compare, full  8.00 KiB  2.00 KiB     2.0 s',
      'gone  failed   -                     -         -         -',
      '    worst message: USAGE_NOT_FOUND the engine knows no VM "gone"',
      'web   warning  compare, full  8.00 KiB  2.00 KiB     2.0 s',
      '    worst message: DSK-112 Disk a was modified while it was read',
    ]);
  });

  test('has its sessions in the order of the summary: web01 before web01-new', () => {
    const made = [session('web01-new'), session('web01'), session('db')];
    const text = formatJob({ type: 'job', sessions: made, failures: [FAILURE] });

    const titles = [...text.matchAll(/^(\S+): restore point/gm)].map((match) => match[1]);
    expect(titles).toEqual(['db', 'web01', 'web01-new']);
    const rows = text.split('\n').slice(-4);
    expect(rows.map((row) => row.split(' ')[0])).toEqual(['db', 'gone', 'web01', 'web01-new']);
  });

  test('does not repeat texts that stand on the same terminal', () => {
    const form = { columns: 140, isColoured: false };
    const shown = formatSession(session('web', raw), { ...form, hasMessages: true });

    expect(shown).toMatch(/^messages {4}warn DSK-112 \(texts above\)$/m);
    expect(formatSession(session('web', raw), form)).toMatch(/^messages {4}warn DSK-112 Disk a/m);
  });

  test('has no summary for one VM', () => {
    const job = { type: 'job', sessions: [session('db')], failures: [] } as const;

    expect(formatJob(job)).toBe(formatSession(session('db')));
  });
});

describe('the bottleneck', () => {
  const engine = {
    backupId: 'b',
    fromCheckpointId: '',
    toCheckpointId: 'c',
    backupsStarted: 1,
    startSeconds: 0.5,
    finalizeSeconds: 4,
    leftOut: [],
  };
  const idle = { stage: 'cpu (hash, compress)', busyRatio: 0.03 };
  const busy = { stage: 'source (extents, read)', busyRatio: 0.9 };

  test.each<[string, Partial<SessionReport>, RegExp]>([
    ['a stage that was busy', { bottleneck: busy, overheadSeconds: 1 }, /source .+, busy 90 %/],
    [
      'the engine that was waited for',
      { bottleneck: busy, engine, durationSeconds: 8, overheadSeconds: 6 },
      /none: the session mostly waited for the engine \(4\.5 s of 8\.0 s\)/,
    ],
    [
      'engine and checks together',
      { bottleneck: busy, engine, durationSeconds: 10, overheadSeconds: 6 },
      /none: 6\.0 s of 10\.0 s passed without reading data, for the engine, checks and the commit/,
    ],
    [
      'checks and commit',
      { bottleneck: busy, durationSeconds: 10, overheadSeconds: 9 },
      /none: 9\.0 s of 10\.0 s passed without reading data, for checks and the commit/,
    ],
    [
      'the limit of the rate',
      { bottleneck: { stage: 'limit of the rate', busyRatio: 0.9 }, overheadSeconds: 1 },
      /limit of the rate, waited for 90 %/,
    ],
    ['nothing', { bottleneck: idle }, /none: no stage was busy for half of the time/],
  ])('is %s', (_title, facts, expected) => {
    const [line] = /^bottleneck .*$/m.exec(formatSession(sessionReport(facts))) ?? [];

    expect(line).toMatch(new RegExp(`^bottleneck  ${expected.source}$`));
  });
});
