/**
 * Pipes of a VM whose guest writes at random. After each call the copies of the sinks equal the
 * views that the engine froze.
 */
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import type { BlockSink } from '../../src/flow/sinks/blockSink.ts';
import type { OpenBackup } from '../../src/sessions/pipe/openBackup.ts';
import type { OpenDisk, PipeReport } from '../../src/sessions/pipe/openDisk.ts';
import { openVm } from '../../src/sessions/pipe/openVm.ts';
import { BLOCK_BYTES, MIB } from '../helpers/bytes/images.ts';
import { createRandom, type Random } from '../helpers/bytes/random.ts';
import { type DiskCopy, pipeOptions, VmCopy } from '../helpers/lab/pipes.ts';
import { applyEdit, FILLS } from '../helpers/lab/troubles.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { VM_KINDS } from '../helpers/lab/vmScene.ts';
import { longOr } from '../helpers/longForm.ts';

/** A full and ten increments; fewer for the older kinds of backups. */
const CALLS = { hybrid: 11, live: longOr(11, 3), cold: longOr(11, 3) };
const LIMIT_MS = 240_000;

/** One way to receive a disk. */
type Receive = (disk: OpenDisk, copy: DiskCopy) => Promise<PipeReport>;

function asSink(sink: BlockSink): BlockSink {
  return { block: (block) => sink.block(block), zero: (zero) => sink.zero(zero) };
}

const RECEIVERS: Readonly<Record<string, Receive>> = {
  'a fast sink': (disk, copy) => disk.pipe(copy.sink()),
  'a slow sink': (disk, copy) => disk.pipe(copy.slowSink(2)),
  'a sink of LZ4 blocks': (disk, copy) => disk.pipe({ ...asSink(copy.sink()), compress: 'lz4' }),
  'a Writable': (disk, copy) => disk.pipe(copy.writable()),
  'a Writable of LZ4 blocks that is not ended': async (disk, copy) => {
    const writable = copy.writable();
    const report = await disk.pipe(writable, { compress: 'lz4', end: false });
    expect(writable.writableEnded).toBe(false);
    return report;
  },
};
const WAYS = Object.values(RECEIVERS);

function writeAtRandom(vm: LabVm, random: Random): void {
  for (const disk of vm.disks) {
    for (let k = random.below(4); k > 0; k--) {
      applyEdit(disk, {
        fill: FILLS[random.below(FILLS.length)] ?? 'noise',
        seed: random.below(1000),
        offsetBytes: random.below(disk.sizeBytes),
        lengthBytes: 1 + random.below(3 * BLOCK_BYTES),
      });
    }
  }
}

function addVm(vm: Parameters<typeof bench.lab.addVm>[0]): LabVm {
  return bench.lab.addVm(vm);
}

const bench = useLab();

describe.each(VM_KINDS)('a VM with $kind backups', ({ kind, spec }) => {
  it(
    'is rebuilt to the byte by a full and increments, whatever receives it',
    async () => {
      const random = createRandom(20_261_129);
      const vm = addVm({
        name: 'web01',
        ...spec,
        disks: [
          { name: 'sys', sizeBytes: 3 * MIB + 4096 + 512, bootable: true },
          { name: 'data', sizeBytes: 2 * MIB },
          { name: 'redo', sizeBytes: MIB + 512, format: 'raw' },
          { name: 'tiny', sizeBytes: 512 },
        ],
      });
      const copy = new VmCopy();
      let since: string | undefined;
      const modes: Record<string, string>[] = [];
      writeAtRandom(vm, random);

      for (let call = 0; call < CALLS[kind]; call++) {
        await using backup = await openVm(pipeOptions(bench, { since, strict: call > 0 }));
        writeAtRandom(vm, random);
        modes.push(modesOf(backup));
        const reports = await Promise.all(
          backup.disks.map((disk, k) => receive(disk, copy, call + k)),
        );
        since = (await backup.finish()).checkpointId;
        expect(copy.differences(vm, backup, since), `call ${call}`).toEqual([]);
        for (const { blockBytes, zeroBytes, virtualSizeBytes, mode } of reports) {
          if (mode === 'full') expect(blockBytes + zeroBytes).toBe(virtualSizeBytes);
        }
        writeAtRandom(vm, random);
      }

      const later = { sys: 'incremental', data: 'incremental', redo: 'full', tiny: 'incremental' };
      expect(modes.slice(1)).toEqual(Array.from({ length: CALLS[kind] - 1 }, () => later));
    },
    LIMIT_MS,
  );
});

async function receive(disk: OpenDisk, copy: VmCopy, way: number): Promise<PipeReport> {
  const take = WAYS[way % WAYS.length];
  if (!take) throw new Error('no way');
  return await take(disk, copy.of(disk));
}

function modesOf(backup: OpenBackup): Record<string, string> {
  return Object.fromEntries(backup.disks.map(({ alias, mode }) => [alias, mode]));
}
