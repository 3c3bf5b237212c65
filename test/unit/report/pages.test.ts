import { describe, expect, it } from 'vitest';
import type { FailedRecord, OtherRecord } from '../../../src/sessions/history/sessionRecord.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { runOfBackup } from '../../../src/report/jobRun.ts';
import { runMailHtml } from '../../../src/report/runMailHtml.ts';
import { runPage } from '../../../src/report/runPage.ts';
import { sessionPage } from '../../../src/report/sessionPage.ts';
import {
  LAST_POINTS,
  MADE_AT,
  madeUpBadRun,
  madeUpDisk,
  madeUpId,
  madeUpPoints,
  madeUpRun,
  madeUpSession,
  WARNED_MESSAGES,
} from '../../helpers/report/madeUpReports.ts';

const MAX_PAGE_BYTES = 200 * 1024;
const EVIL = `"><script>alert(1)</script>'`;
/** Fields that the product fills with fixed words or times. */
const FIXED = /^(type|mode|outcome|level|when|step|trigger|action|startedAt|createdAt|slot|cells)$/;

/** The same report, with something evil in each free text. */
function poisoned<T>(value: T, field = ''): T {
  if (typeof value === 'string') return (FIXED.test(field) ? value : EVIL) as T;
  if (Array.isArray(value)) return value.map((item) => poisoned(item, field) as unknown) as T;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, poisoned(item, key) as unknown]);
  return Object.fromEntries(entries) as T;
}

/** Text of a page without tags. */
function textOf(page: string): string {
  return page
    .replace(/<style>.*?<\/style>/s, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ');
}

const FAILED: FailedRecord = {
  type: 'backup',
  outcome: 'failed',
  sessionId: madeUpId('failed'),
  vmName: 'db01',
  vmId: madeUpId('vm db01'),
  startedAt: '2026-11-30T01:02:03.000Z',
  durationSeconds: 903,
  code: 'ENGINE_VM_STATE',
  message: 'db01 is previewing a snapshot',
  hint: 'commit or undo the preview',
  messages: WARNED_MESSAGES,
};

const VERIFY: OtherRecord = {
  type: 'verify',
  outcome: 'ok',
  sessionId: madeUpId('verify'),
  vmName: 'db01',
  vmId: madeUpId('vm db01'),
  startedAt: '2026-11-30T01:02:03.000Z',
  durationSeconds: 12,
  report: { type: 'verify', damageCount: 0, readBytes: 2048, files: [1, 2], evil: EVIL },
};

function pageOf(changes: Partial<SessionReport> = {}): string {
  return sessionPage({
    session: madeUpSession(changes),
    points: madeUpPoints(),
    madeAt: MADE_AT,
  });
}

const PAGES: readonly (readonly [string, string])[] = [
  [
    'a session',
    sessionPage({ session: poisoned(madeUpSession()), points: poisoned(madeUpPoints()) }),
  ],
  [
    'a failed session',
    sessionPage({ session: poisoned(FAILED), points: poisoned(madeUpPoints()) }),
  ],
  ['another session', sessionPage({ session: poisoned(VERIFY) })],
  ['a run', runPage(poisoned(madeUpBadRun()), poisoned([...LAST_POINTS]))],
  ['a mail', runMailHtml(poisoned(madeUpBadRun()), poisoned([...LAST_POINTS]))],
];

describe.each(PAGES)('the page of %s', (_what, page) => {
  it('escapes every text', () => {
    expect(page).toContain('&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&#39;');
    expect(page).not.toContain('<script');
    expect(page).not.toMatch(/\bon[a-z]+=/);
  });

  it('loads nothing', () => {
    expect(page).not.toMatch(/\b(src|href)=|url\(|@import|<(link|img|iframe|object|form)\b/);
  });
});

describe('the page of a session', () => {
  const page = pageOf({ lockedUntil: '2026-12-30T01:00:00.000Z' });
  const text = textOf(page);

  it('forbids scripts and requests', () => {
    expect(page).toContain(
      `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:;`,
    );
  });

  it.each([
    'web01 success Restore point 12 (increment) holds 3 disks. There is nothing to do.',
    'Read 54.6 GiB of 240.0 GiB',
    'Changed 8.22 GiB before compression Stored 4.49 GiB after compression Reduction 1.83\u00D7 changed to stored File 4.51 GiB with metadata',
    'Locked until 2026-12-30 01:00 UTC',
    'web01_data1 compare change tracking is switched off for this disk',
    'All disks 240.0 GiB 54.6 GiB 1.29 GiB 44.4 GiB 8.22 GiB 4.49 GiB 1.83\u00D7',
    'web01_system 66 of 240 parts changed, 170.7 MiB each',
    'Bottleneck: source (extents, read), busy for 83 % of the time.',
    'Engine freezes the disks 11.8 s',
    'Disks are read and stored 1 min 14 s',
    '81.6 GiB in 12 restore points',
    'shared_quorum (the disk is shareable)',
    madeUpId('checkpoint 11'),
  ])('tells: %s', (part) => {
    expect(text).toContain(part);
  });

  it('names rows and columns of its tables', () => {
    const tables = page.match(/<table/g) ?? [];
    const heads = page.match(/<thead role="rowgroup"><tr role="row"><th scope="col"/g) ?? [];

    expect(tables.length).toBe(3);
    expect(heads).toHaveLength(tables.length);
    expect(page.match(/<th scope="row"/g)).toHaveLength(3 + 1 + 3 + 12);
  });

  it('has one title, and sections with headings', () => {
    expect(page).toContain('<title>web01: success</title>');
    expect(page.match(/<h1>/g)).toHaveLength(1);
    expect(page.match(/<section[^>]*><h2>/g)).toHaveLength(page.match(/<section/g)?.length ?? -1);
  });

  it('stays small with 50 disks', () => {
    const disks = Array.from({ length: 50 }, (_, index) =>
      madeUpDisk(index, {
        alias: `${'long name '.repeat(4)}${index}`,
        blockMap: { cellBytes: 1 << 30, cells: '19.05'.repeat(48) },
      }),
    );

    expect(Buffer.byteLength(pageOf({ disks }))).toBeLessThan(MAX_PAGE_BYTES);
  });

  it('has warnings at the top', () => {
    const warned = textOf(pageOf({ messages: WARNED_MESSAGES }));

    expect(warned).toContain('web01 warning Restore point 12');
    expect(warned.indexOf('CBT-102')).toBeLessThan(warned.indexOf('Where the changes lie'));
    expect(warned).toContain('What to do: Enable incremental backup');
  });

  it('shows no map, growth or engine where there is none', () => {
    const { blockMap: _map, ...disk } = madeUpDisk(0);
    const { engine: _engine, ...session } = madeUpSession({ disks: [disk] });
    const bare = textOf(sessionPage({ session }));

    expect(bare).not.toMatch(/Where the changes lie|Growth|Begins at checkpoint/);
  });

  it('tells a wait for the limit of the rate only where there was one', () => {
    const { seconds } = madeUpDisk(0);
    const disks = [madeUpDisk(0, { seconds: { ...seconds, limit: 27 } }), madeUpDisk(1)];
    const bottleneck = { stage: 'limit of the rate', busyRatio: 0.85 };
    const limited = textOf(pageOf({ disks, bottleneck }));

    expect(limited).toContain('Bottleneck: limit of the rate, waited for 85 % of the time.');
    expect(limited).toContain('Wait for the limit 27');
    expect(textOf(pageOf())).not.toContain('Wait for the limit');
  });

  it('of a VM without disks says so', () => {
    expect(textOf(pageOf({ disks: [] }))).toContain('No disk. The restore point holds');
  });

  it('tells an audit, and what was healed', () => {
    const audit = { auditedBlocks: 40, mismatchedBlocks: 2, readBytes: 2048, seconds: 1 };
    const healed = textOf(
      pageOf({
        disks: [madeUpDisk(0, { audit })],
        healing: { blockCount: 7, damagedPointIds: Array.from({ length: 12 }, (_, i) => `p${i}`) },
      }),
    );

    expect(healed).toContain(
      'Audit of web01_system 40 blocks called unchanged were read (2.00 KiB), 2 differ',
    );
    expect(healed).toContain('Damaged blocks stored anew 7');
    expect(healed).toMatch(/ p9 and 2 more /);
  });
});

describe('the page of a session that failed', () => {
  const text = textOf(sessionPage({ session: FAILED, points: madeUpPoints('db01').slice(0, 9) }));

  it.each([
    'No restore point was made. The last good restore point is number 9. It was 4 days old.',
    'ENGINE_VM_STATE db01 is previewing a snapshot What to do: commit or undo the preview',
    'CBT-102',
    'Growth of this VM in the repository',
  ])('tells: %s', (part) => {
    expect(text).toContain(part);
  });

  it('says that there is no point, and nothing when it does not know', () => {
    expect(textOf(sessionPage({ session: FAILED, points: [] }))).toContain(
      'The repository has no restore point of this VM from before.',
    );
    expect(textOf(sessionPage({ session: FAILED }))).not.toContain('from before');
  });
});

it('the page of another session lists its result', () => {
  const text = textOf(sessionPage({ session: VERIFY }));

  expect(text).toContain('Session: verify');
  expect(text).toContain('Damage count 0 Read 2.00 KiB Files 2');
});

describe('the page of a run', () => {
  const text = textOf(runPage(madeUpBadRun(), LAST_POINTS, MADE_AT));

  it.each([
    'nightly failed 9 VMs: 1 failed, 1 not started, 1 warning, 6 success.',
    'VMs with a new point 7 of 9 1 tried again',
    'db01 failed ENGINE_VM_STATE db01 is previewing a snapshot',
    'Last good point: 2026-11-27 01:12 UTC, 3 days before the end of this run.',
    'Last good point: none known.',
    'verify failed REPOSITORY_UNREACHABLE s3://backup-eu/ovirt/main does not answer',
    'No run was started for 2026-11-28 01:00 UTC, 2026-11-29 01:00 UTC.',
    'VMs no longer selected old-crm',
    'web03 warning, point 12 (increment), 3 disks',
    'Started by the schedule',
  ])('tells: %s', (part) => {
    expect(text).toContain(part);
  });

  it('has failures before the tables', () => {
    expect(text.indexOf('ENGINE_VM_STATE')).toBeLessThan(text.indexOf('Last good point db01'));
    expect(text.indexOf('What needs attention')).toBeLessThan(text.indexOf('Steps'));
  });

  it('says that there is nothing to do when all is well', () => {
    const calm = textOf(runPage(madeUpRun()));

    expect(calm).toContain('6 VMs: 6 success. There is nothing to do.');
    expect(calm).not.toContain('What needs attention');
  });

  it('shows the details of a hundred VMs at most', () => {
    const [first] = madeUpRun().vms;
    const vms = Array.from({ length: 130 }, (_, index) => ({ ...first!, vmName: `vm${index}` }));
    const page = runPage(madeUpRun({ vms }));

    expect(page.match(/<details class="vm">/g)).toHaveLength(100);
    expect(textOf(page)).toContain('The repository has the details of 30 more.');
  });

  it('survives times and numbers of a damaged report', () => {
    const odd: RunReport = { ...madeUpBadRun(), durationSeconds: 1e300, missedSlots: ['never'] };

    expect(textOf(runPage(odd, LAST_POINTS))).toContain('No run was started for never.');
  });
});

it('a backup of several VMs has the page of a run without a job', () => {
  const failure = { vmName: 'db01', code: 'ENGINE_BUSY', message: 'busy', hint: 'wait' } as const;
  const sessions = [madeUpSession(), madeUpSession({ vmName: 'b', messages: WARNED_MESSAGES })];
  const started = new Date('2026-11-30T01:00:00Z');
  const ended = new Date('2026-11-30T01:10:00Z');
  const run = runOfBackup({ type: 'job', sessions, failures: [failure] }, '/r', started, ended);

  expect(run.vms.map(({ outcome }) => outcome)).toEqual(['success', 'warning', 'failure']);
  expect(textOf(runPage(run))).toContain(
    'Backup of 3 VMs failed 3 VMs: 1 failed, 1 warning, 1 success.',
  );
  expect(run.durationSeconds).toBe(600);
});
