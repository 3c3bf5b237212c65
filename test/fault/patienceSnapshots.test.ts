/** Snapshots and backups that still exist after their session are recorded until they are gone. */
import { describe, expect, it } from 'vitest';
import {
  BACKUP_KINDS,
  addSmallVm,
  PATHS,
  refusal,
  touch,
} from '../helpers/faults/sessionFaults.ts';
import { messageCodes, expectCode } from '../helpers/codes.ts';
import { backupSteps, cleanUp } from '../helpers/faults/killedVmWork.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();
/**
 * The engine refuses a live backup with a broken change map at once, so there is no first backup to
 * end.
 */
const MADE_FIRST = BACKUP_KINDS.filter(([kind]) => kind !== 'live');
const READ = { server: 'imageio', method: 'GET', path: /\/images\/[^/?]+$/ } as const;

async function stepNames(): Promise<string[]> {
  return (await backupSteps(bench)).map(({ step }) => step);
}

describe('a snapshot that stays after the end of its backup', () => {
  it('is in the journal of a session that failed, and cleanup removes it', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.behaviour.mergeFails = true;
    lab.faults.add(READ, { status: 400, body: 'bad' });
    await expectCode(bench.backup(vm), 'TRANSFER_READ_FAILED');
    expect(messageCodes(bench)).toContain('SNP-201');
    expect(await stepNames()).toContain('snapshot-left');
    lab.behaviour.mergeFails = false;

    const report = await cleanUp(bench, vm);

    expect(report).toMatchObject({ cleaned: [expect.stringMatching(/^snapshot /)], left: [] });
    expect(lab.leftovers()).toEqual([]);
    expect(await stepNames()).toEqual([]);
  });

  it('is not forgotten by a session that stops before it has begun', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab);
    lab.behaviour.mergeFails = true;
    await bench.backup(vm);
    lab.behaviour.mergeFails = false;
    vm.status = 'paused';
    const engine = bench.settings({ startRetryWindowMs: 10, startRetryEveryMs: 5 });
    await expectCode(bench.backup(vm, { engine }), 'ENGINE_VM_STATE');
    expect(await stepNames()).toEqual(['session', 'snapshot-left']);
    vm.status = 'up';

    const report = await cleanUp(bench, vm);

    expect(report).toMatchObject({ cleaned: [expect.stringMatching(/^snapshot /)], left: [] });
    expect(lab.leftovers()).toEqual([]);
  });
});

describe.each(MADE_FIRST)('a %s backup that could not be ended', (_kind, spec) => {
  it('is not forgotten when the second attempt of its session is refused', async () => {
    const { lab } = bench;
    const vm = addSmallVm(lab, spec);
    await bench.backup(vm);
    touch(vm, 'the guest');
    vm.disk('sys').breakBitmaps();
    lab.faults.add({ method: 'POST', path: PATHS.finalizeBackup }, refusal(500));
    const short = { cleanupMs: 300, startRetryWindowMs: 10, startRetryEveryMs: 5 };

    await expectCode(bench.backup(vm, { engine: bench.settings(short) }), 'ENGINE_BUSY');

    expect(lab.leftovers()).not.toEqual([]);
    expect(await stepNames()).toContain('backup');
    lab.faults.clear();
    const report = await cleanUp(bench, vm);
    expect(report.cleaned).toContainEqual(expect.stringMatching(/^backup /));
    expect(lab.leftovers()).toEqual([]);
  });
});
