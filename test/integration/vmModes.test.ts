/**
 * The modes of a VM session, for each kind of backup that an engine makes. Each test takes one kind
 * in turn; the long form (`npm run sweep`) takes all. The guest writes during every session. Its
 * writes are in the next point and in no earlier one.
 */
import { describe, expect, it } from 'vitest';
import type { LabMatch } from '../../lab/src/index.ts';
import { BLOCK_BYTES } from '../helpers/images.ts';
import { useLab } from '../helpers/lab.ts';
import { IS_LONG_FORM } from '../helpers/longForm.ts';
import {
  changedOf,
  codesOf,
  EDITED_BYTES,
  modesOf,
  reasonsOf,
  VM_KINDS,
  type VmKind,
  VmScene,
} from '../helpers/vmScene.ts';

const DIRTY_EXTENTS: LabMatch = {
  server: 'imageio',
  method: 'GET',
  path: /extents\?context=dirty/,
};

let testCount = 0;

function ofVm(title: string, work: (kind: VmKind) => Promise<void>): void {
  const inTurn = VM_KINDS[testCount++ % VM_KINDS.length] as VmKind;
  const kinds = IS_LONG_FORM ? VM_KINDS : [inTurn];
  it.each(kinds)(`with $kind backups ${title}`, work);
}

describe('a VM', () => {
  const bench = useLab();

  ofVm('is stored in full first and by its change map afterwards', async (kind) => {
    const scene = new VmScene(bench, kind);
    const { traffic } = bench.lab;

    const increment = await scene.fullThen(() => traffic.reset());

    expect([...traffic.readBytes.values()]).toEqual([EDITED_BYTES]);
    expect(modesOf(scene.reports[0] ?? increment)).toEqual({ disk0: 'full' });
    expect(modesOf(increment)).toEqual({ disk0: 'incremental' });
    expect(changedOf(increment)).toEqual({ disk0: EDITED_BYTES });
    expect(codesOf(increment)).toEqual([]);
    expect(increment.engine?.fromCheckpointId).toBe(scene.reports[0]?.engine?.toCheckpointId);
    await scene.expectContinued({ disk0: 'incremental' });
  });

  ofVm('is stored in full on request, and the next session continues from there', async (kind) => {
    const scene = new VmScene(bench, kind);
    await scene.session();
    scene.edit();

    const full = await scene.session({ mode: 'full', blockSizeBytes: BLOCK_BYTES });

    expect(full).toMatchObject({ pointType: 'full', parentPointId: '' });
    expect(reasonsOf(full)).toEqual({ disk0: 'full requested' });
    await scene.expectContinued({ disk0: 'incremental' });
  });

  ofVm('is compared where a disk is RAW, beside a disk that stays incremental', async (kind) => {
    const scene = new VmScene(bench, kind, [{}, { format: 'raw' }]);

    const report = await scene.fullThen();

    expect(modesOf(report)).toEqual({ disk0: 'incremental', disk1: 'compare' });
    expect(reasonsOf(report)).toMatchObject({ disk1: 'stored as RAW' });
    expect(codesOf(report)).toEqual(['CBT-101']);
    expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES, disk1: EDITED_BYTES });
    await scene.expectContinued({ disk0: 'incremental', disk1: 'compare' });
  });

  ofVm('has no base when all its disks are RAW, and is compared every time', async (kind) => {
    const scene = new VmScene(bench, kind, [{ format: 'raw' }]);

    const report = await scene.fullThen();

    expect(report.engine).toMatchObject({ fromCheckpointId: '', toCheckpointId: '' });
    expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES });
    expect(codesOf(report)).toEqual(['CBT-101']);
    await scene.expectContinued({ disk0: 'compare' });
  });

  ofVm('is compared where a disk has a RAW layer below a snapshot', async (kind) => {
    const scene = new VmScene(bench, kind, [{}, { rawBase: true }]);

    const report = await scene.fullThen();

    expect(modesOf(report)).toEqual({ disk0: 'incremental', disk1: 'compare' });
    expect(reasonsOf(report)).toMatchObject({ disk1: 'RAW below a snapshot' });
    expect(codesOf(report)).toEqual(['CBT-101']);
    expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES, disk1: EDITED_BYTES });
    await scene.expectContinued({ disk0: 'incremental', disk1: 'compare' });
  });

  ofVm('is compared where tracking is off', async (kind) => {
    const scene = new VmScene(bench, kind, [{}, { backup: 'none' }]);

    const report = await scene.fullThen();

    expect(modesOf(report)).toEqual({ disk0: 'incremental', disk1: 'compare' });
    expect(reasonsOf(report)).toMatchObject({ disk1: 'change tracking is off' });
    expect(codesOf(report)).toEqual(['CBT-102']);
    expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES, disk1: EDITED_BYTES });
    await scene.expectContinued({ disk0: 'incremental', disk1: 'compare' });
  });

  ofVm('is compared where a disk is of an old qcow2 version', async (kind) => {
    const scene = new VmScene(bench, kind, [{}, { qcowVersion: 'qcow2_v2' }]);

    const report = await scene.fullThen();

    expect(modesOf(report)).toEqual({ disk0: 'incremental', disk1: 'compare' });
    expect(codesOf(report)).toEqual(['CBT-109']);
    await scene.expectContinued({ disk0: 'incremental', disk1: 'compare' });
  });

  ofVm('is compared on all disks when the checkpoint is unknown', async (kind) => {
    const scene = new VmScene(bench, kind, [{}, {}]);

    const report = await scene.fullThen(() => scene.vm.revertSnapshot('removed'));

    expect(modesOf(report)).toEqual({ disk0: 'compare', disk1: 'compare' });
    expect(reasonsOf(report)).toEqual({ disk0: 'checkpoint lost', disk1: 'checkpoint lost' });
    expect(codesOf(report)).toEqual(['CBT-103']);
    expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES, disk1: EDITED_BYTES });
    expect(report.engine?.fromCheckpointId).toBe('');
    await scene.expectContinued({ disk0: 'incremental', disk1: 'incremental' });
  });

  ofVm('is compared when the checkpoint is invalid, which is removed afterwards', async (kind) => {
    const scene = new VmScene(bench, kind, [{}, {}]);

    const report = await scene.fullThen(() => scene.vm.revertSnapshot('invalid'));

    expect(modesOf(report)).toEqual({ disk0: 'compare', disk1: 'compare' });
    expect(codesOf(report)).toEqual(['CBT-104']);
    expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES, disk1: EDITED_BYTES });
    expect(scene.vm.checkpointIds()).toEqual([report.engine?.toCheckpointId]);
    await scene.expectContinued({ disk0: 'incremental', disk1: 'incremental' });
  });

  ofVm('is started again without the checkpoint when a change map is broken', async (kind) => {
    const scene = new VmScene(bench, kind, [{}, {}]);

    const report = await scene.fullThen(() => scene.vm.disk('disk1').breakBitmaps());

    // The host of a running legacy VM checks the bitmaps itself and then loses the checkpoint.
    expect(codesOf(report)).toEqual([kind.kind === 'live' ? 'CBT-103' : 'CBT-105']);
    expect(modesOf(report)).toEqual({ disk0: 'compare', disk1: 'compare' });
    expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES, disk1: EDITED_BYTES });
    expect(report.engine).toMatchObject({ backupsStarted: 2, fromCheckpointId: '' });
    await scene.expectContinued({ disk0: 'incremental', disk1: 'incremental' });
  });

  ofVm('is compared when the engine cannot use the checkpoint after all', async (kind) => {
    const scene = new VmScene(bench, kind);
    const { behaviour } = bench.lab;

    const report = await scene.fullThen(() => (behaviour.redefineFails = true));

    behaviour.redefineFails = false;
    expect(codesOf(report)).toEqual(['CBT-103']);
    expect(modesOf(report)).toEqual({ disk0: 'compare' });
    expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES });
    await scene.expectContinued({ disk0: 'incremental' });
  });

  ofVm('gets a full of a disk that is new, inside the increment', async (kind) => {
    const scene = new VmScene(bench, kind);
    const added = { name: 'disk1', sizeBytes: 2 * EDITED_BYTES };

    const report = await scene.fullThen(() => scene.vm.addDisk(added).write(0, Buffer.from('new')));

    expect(modesOf(report)).toEqual({ disk0: 'incremental', disk1: 'full' });
    expect(report.pointType).toBe('increment');
    expect(codesOf(report)).toEqual(['CBT-106']);
    await scene.expectContinued({ disk0: 'incremental', disk1: 'incremental' });
  });

  ofVm('is compared where the request for a change map is refused', async (kind) => {
    const scene = new VmScene(bench, kind, [{}, {}]);
    const { lab } = bench;
    const match = { ...DIRTY_EXTENTS, diskId: scene.vm.disk('disk0').id, nth: 1 };

    const report = await scene.fullThen(() =>
      lab.faults.add(match, { status: 404, body: 'Ticket does not support dirty extents' }),
    );

    expect(modesOf(report)).toEqual({ disk0: 'compare', disk1: 'incremental' });
    expect(codesOf(report)).toEqual(['CBT-107']);
    expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES, disk1: EDITED_BYTES });
    await scene.expectContinued({ disk0: 'incremental', disk1: 'incremental' });
  });

  ofVm('is compared where a disk was detached and attached again', async (kind) => {
    const scene = new VmScene(bench, kind, [{}, {}]);

    const report = await scene.fullThen(() => {
      scene.vm.detachDisk('disk1');
      scene.vm.attachDisk('disk1');
    });

    expect(modesOf(report)).toEqual({ disk0: 'incremental', disk1: 'compare' });
    expect(codesOf(report)).toEqual(['CBT-109']);
    expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES, disk1: EDITED_BYTES });
    await scene.expectContinued({ disk0: 'incremental', disk1: 'incremental' });
  });

  // In a disk that has grown, the former short last block is longer now.
  for (const [how, sizeBytes, changedBytes] of [
    ['grown', 6 * BLOCK_BYTES + 512, EDITED_BYTES + BLOCK_BYTES],
    ['been cut', 4 * BLOCK_BYTES + 1024, EDITED_BYTES],
  ] as const) {
    ofVm(`is compared where a disk has ${how}`, async (kind) => {
      const scene = new VmScene(bench, kind, [{}, {}]);

      const report = await scene.fullThen(() => scene.vm.disk('disk1').resize(sizeBytes));

      expect(modesOf(report)).toEqual({ disk0: 'incremental', disk1: 'compare' });
      expect(codesOf(report)).toEqual(['DSK-110']);
      expect(changedOf(report)).toEqual({ disk0: EDITED_BYTES, disk1: changedBytes });
      await scene.expectContinued({ disk0: 'incremental', disk1: 'incremental' });
    });
  }

  ofVm('says that a disk is gone, and keeps it in older points', async (kind) => {
    const scene = new VmScene(bench, kind, [{}, {}]);

    const report = await scene.fullThen(() => scene.vm.detachDisk('disk1'));

    expect(modesOf(report)).toEqual({ disk0: 'incremental' });
    expect(codesOf(report)).toEqual(['DSK-111']);
    await scene.expectContinued({ disk0: 'incremental' });
  });
});
