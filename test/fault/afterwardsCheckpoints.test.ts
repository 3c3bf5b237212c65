/** Rows 66 and 67 of the fault table: checkpoints that cannot be removed. */
import { describe, expect, it } from 'vitest';
import { messageCodes } from '../helpers/codes.ts';
import { countRequests, expectFrozenView, makeScene } from '../helpers/faults/sessionFaults.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const DELETE_CHECKPOINT = {
  server: 'engine',
  method: 'DELETE',
  path: /\/checkpoints\/[^/]+$/,
} as const;
const FINALIZE_BACKUP = /\/backups\/[^/]+\/finalize$/;

describe('row 66: a checkpoint that is removed during a backup', () => {
  const bench = useLab();

  it('is removed after our own backup has ended', async () => {
    const { vm } = await makeScene(bench);

    const report = await bench.backup(vm);

    const paths = bench.lab.requests.filter(({ server }) => server === 'engine');
    const removal = paths.findIndex(({ method }) => method === 'DELETE');
    const finalize = paths.findLastIndex(({ path }) => FINALIZE_BACKUP.test(path));
    expect(removal).toBeGreaterThan(finalize);
    expect(paths[removal]?.status).toBe(200);
    expect(vm.checkpointIds()).toEqual([report.engine?.toCheckpointId]);
  });

  it('stays while somebody else backs the VM up, and goes with the next session', async () => {
    const { vm } = await makeScene(bench);
    let foreignId = '';
    const begin = (): void => void (foreignId = vm.startForeignBackup());
    bench.lab.faults.add({ ...DELETE_CHECKPOINT, nth: 1 }, { run: begin });

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual(['SNP-204']);
    expect(vm.checkpointIds()).toContain(report.engine?.fromCheckpointId);
    vm.endForeignBackup(foreignId);
    const foreignCheckpoint = (): readonly string[] => vm.checkpointIds();
    const next = await bench.backup(vm, { engine: bench.settings({ startRetryEveryMs: 5 }) });
    expect(next.engine?.fromCheckpointId).toBe(report.engine?.toCheckpointId);
    expect(foreignCheckpoint()).not.toContain(report.engine?.fromCheckpointId);
    expect(foreignCheckpoint()).not.toContain(report.engine?.toCheckpointId);
    await expectFrozenView(bench, vm, next);
  });
});

describe('row 67: a checkpoint whose removal fails', () => {
  const bench = useLab();

  it('is a message; the next session starts from the newest one and removes it', async () => {
    const { vm } = await makeScene(bench);
    bench.lab.behaviour.checkpointRemoveFails = true;
    const second = await bench.backup(vm);
    expect(messageCodes(bench)).toEqual(['SNP-204']);
    bench.lab.behaviour.checkpointRemoveFails = false;

    const third = await bench.backup(vm);

    expect(third.disks[0]).toMatchObject({ mode: 'incremental' });
    expect(third.engine?.fromCheckpointId).toBe(second.engine?.toCheckpointId);
    expect(vm.checkpointIds()).toEqual([third.engine?.toCheckpointId]);
    await expectFrozenView(bench, vm, third);
  });

  it('is asked for once a session', async () => {
    const { vm } = await makeScene(bench);
    bench.lab.behaviour.checkpointRemoveFails = true;

    await bench.backup(vm);

    expect(countRequests(bench.lab, DELETE_CHECKPOINT)).toBe(1);
  });
});
