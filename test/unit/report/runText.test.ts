import { describe, expect, it } from 'vitest';
import { sessionMessage } from '../../../src/core/messages.ts';
import type { VmResult } from '../../../src/jobs/runReport.ts';
import { runMailHtml } from '../../../src/report/runMailHtml.ts';
import { runPage } from '../../../src/report/runPage.ts';
import { runText } from '../../../src/report/runText.ts';
import { goodVm, pruneOf } from '../../helpers/jobs/runs.ts';
import { LAST_POINTS, madeUpBadRun, madeUpRun } from '../../helpers/report/madeUpReports.ts';

const BAD = madeUpBadRun();

/** A VM with seven warnings, and an error at the end. */
function manyMessages(): VmResult {
  const vm = goodVm('web01');
  const warnings = Array.from({ length: 7 }, (_, k) => sessionMessage('JOB-610', { pattern: k }));
  const messages = [...warnings, sessionMessage('XFER-306')];
  return { ...vm, outcome: 'warning', report: { ...vm.report!, messages } };
}

describe('the text of a run', () => {
  const text = runText(BAD, LAST_POINTS);

  it('begins with job, outcome and counts', () => {
    expect(text.split('\n').slice(0, 4)).toEqual([
      'nightly: failed',
      '9 VMs: 1 failed, 1 not started, 1 warning, 6 success',
      'Started 2026-11-30 01:00 UTC, took 42 min 10 s',
      'Repository s3://backup-eu/ovirt/main',
    ]);
  });

  it('has failed VMs first, with reason, advice and age of the last good point', () => {
    expect(text).toContain(`VMs
  db01: failed
    ENGINE_VM_STATE db01 is previewing a snapshot
    What to do: commit or undo the preview, then run the job again
    Last good point: 2026-11-27 01:12 UTC, 3 days before the end of this run
  archive07: not started
`);
  });

  it('names host and engine in a mail, and no secret of its URL', () => {
    const engineUrl = 'https://admin:hunter2@engine.example/ovirt-engine?token=hunter2';
    const origin = { host: 'backup01', engineUrl };

    for (const told of [runText(BAD, [], origin), runMailHtml(BAD, [], origin)]) {
      expect(told).toContain('Host backup01, engine https://engine.example/ovirt-engine');
      expect(told).not.toContain('hunter2');
    }
  });

  it('finds the last good point of a VM whose id was not known then', () => {
    const lastPoints = LAST_POINTS.map((point) => ({ ...point, vmId: '' }));

    expect(runText(BAD, lastPoints)).toContain('Last good point: 2026-11-27 01:12 UTC');
  });

  it('says so when no good point is known', () => {
    expect(runText(BAD).match(/Last good point: none known/g)).toHaveLength(2);
  });

  it.each([
    ['a failed step', 'verify: failed - s3://backup-eu/ovirt/main does not answer'],
    ['a hook', 'hook before: /usr/local/bin/freeze-app: success - exit code 0, 1.2 s'],
    ['a hook that was killed', 'thaw-app: failed - ran too long and was killed, 1 min 00 s'],
    ['a prune', '12.0 GiB deleted, 3.00 GiB written'],
    ['a copy', '1 point (2.31 GiB) copied to /mnt/offsite, 1 read again'],
    ['missed times', 'Missed times of the schedule\n  2026-11-28 01:00 UTC\n  2026-11-29'],
    ['VMs that are gone', 'VMs no longer selected\n  old-crm'],
    ['new VMs', 'New VMs\n  web03'],
    ['messages', 'warn REPO-514 Restore points that are dated in the future'],
  ])('tells %s', (_what, part) => {
    expect(text).toContain(part);
  });

  it('tells all messages of a VM that need somebody, up to five, errors first', () => {
    const run = madeUpRun({ vms: [manyMessages()] });

    const told = runText(run).match(/^ {4}\S.*$/gm);
    const codes = told?.map((line) => line.trim().split(' ')[0]);

    expect(codes?.filter((code) => code !== 'What')).toEqual([
      'XFER-306',
      ...Array.from({ length: 4 }, () => 'JOB-610'),
      'and',
    ]);
    expect(told?.at(-1)).toBe('    and 3 more');
    expect(runMailHtml(run).match(/JOB-610/g)).toHaveLength(4);
    expect(
      runPage(run)
        .split('<h2>VMs</h2>')[0]
        ?.match(/JOB-610/g),
    ).toHaveLength(4);
  });

  it('tells steps that ended with warnings, as the mail and the page do', () => {
    const warning = sessionMessage('REPO-514', { n: 1, rp: 'p', date: '2031-01-01' });
    const run = madeUpRun({ outcome: 'warning', prune: pruneOf(warning) });

    expect(runText(run)).toContain(`  prune: warning - 0 points kept`);
    expect(runText(run)).toContain(`    REPO-514 web01: ${warning.text}`);
    expect(runMailHtml(run)).toContain(`REPO-514 web01: ${warning.text}`);
    expect(runPage(run).split('<h2>Steps</h2>')[0]).toContain(`web01: ${warning.text}`);
  });

  it('is short when all is well', () => {
    const lines = runText(madeUpRun()).split('\n');

    expect(lines).toHaveLength(14);
    expect(lines[6]).toBe(
      '  app01: success - incremental, read 8.22 GiB, stored 3.74 GiB, 1 min 36 s',
    );
  });

  it('has no control characters of names', () => {
    const [first] = BAD.vms;
    const evil = { ...BAD, vms: [{ ...first!, vmName: 'a\nb\u001b[2J\u202E' }] };

    expect(runText(evil)).toContain('  a?b?[2J?: success');
  });
});

it('a verify that found damage, and one that could not read a VM, fail', () => {
  const verify = {
    outcome: 'damaged',
    damageCount: 3,
    damagedVms: ['web01'],
    readBytes: 1024,
    durationSeconds: 2,
    failures: [{ folder: '/r/db', code: 'REPOSITORY_IO', message: 'EIO', hint: 'look' }],
  } as const;

  expect(runText(madeUpRun({ verify }))).toContain(`Steps
  verify: failed - 3 findings of damage in web01; 1.00 KiB read in 2.0 s
    REPOSITORY_IO /r/db: EIO
    What to do: look`);
});

it('tells for VMs without a session that the plan failed', () => {
  const hint = 'mount it';
  const plan = { step: 'plan', code: 'REPOSITORY_NOT_FOUND', message: '/r is gone', hint } as const;
  const vms = [{ vmName: 'web01', vmId: '', outcome: 'notStarted', attempts: 0 }] as const;
  const run = madeUpRun({ outcome: 'failure', vms, failedSteps: [plan] });

  expect(runText(run)).toContain('The plan of the run failed.');
  expect(runText(run)).not.toContain('The window');
  expect(runText({ ...run, failedSteps: [] })).toContain('The window or the run ended before');
});

describe('the HTML of a mail', () => {
  const mail = runMailHtml(BAD, LAST_POINTS);

  it('has nothing that mail programs drop or load', () => {
    expect(mail).not.toMatch(/<(svg|script|img|link|style|a)\b|class=|url\(|href/i);
  });

  it.each([
    'db01',
    'commit or undo the preview',
    '3 days before',
    'old-crm',
    'REPO-514',
    'thaw-app',
  ])('tells %s', (part) => {
    expect(mail).toContain(part);
  });

  it('escapes names', () => {
    const [first] = BAD.vms;
    const evil = { ...BAD, vms: [{ ...first!, vmName: '<img src=x>' }] };

    expect(runMailHtml(evil)).toContain('<bdi>&lt;img src=x&gt;</bdi>');
  });
});
