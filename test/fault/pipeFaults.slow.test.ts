/**
 * Pipes of a VM whose servers fail at random. A call gives right bytes or an error with a type. The
 * next call builds on the same checkpoint, and nothing of the failed one is left.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.ts';
import type { PipedRecord } from '../../src/flow/sinks/blockSink.ts';
import { openVm } from '../../src/sessions/pipe/openVm.ts';
import { BLOCK_BYTES, MIB } from '../helpers/bytes/images.ts';
import { createRandom, noise } from '../helpers/bytes/random.ts';
import { pipeAll, pipeOptions, VmCopy } from '../helpers/lab/pipes.ts';
import { FAULTY_TIMINGS, RANDOM_FAULTS } from '../helpers/lab/troubles.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { longOr } from '../helpers/longForm.ts';

const bench = useLab();
const CALLS = longOr(60, 12);
const LIMIT_MS = 600_000;

it(
  'a pipe gives right bytes or an error, whatever fails',
  async () => {
    const { faults } = bench.lab;
    const random = createRandom(11);
    const disks = [
      { name: 'sys', sizeBytes: 4 * BLOCK_BYTES + 512, bootable: true },
      { name: 'redo', sizeBytes: 2 * BLOCK_BYTES, format: 'raw' as const },
    ];
    const vm = bench.lab.addVm({ name: 'web01', disks });
    const copy = new VmCopy();
    let since: string | undefined;
    let failures = 0;
    for (let call = 0; call < CALLS; call++) {
      for (const disk of vm.disks) disk.write(random.below(400_000), noise(call, 50_000));
      // Every fourth call has no faults: it shows what the failed ones left.
      faults.clear();
      faults.seed(call);
      const isFaulty = call % 4 !== 3;
      if (isFaulty) {
        for (const [match, action, probability] of RANDOM_FAULTS) {
          faults.add({ ...match, probability: probability * 4 }, action);
        }
      }
      const engine = bench.settings(FAULTY_TIMINGS);
      try {
        const { backup, checkpointId } = await pipeAll(bench, copy, { since, engine });
        expect(copy.differences(vm, backup, checkpointId), `call ${call}`).toEqual([]);
        since = checkpointId || since;
      } catch (error) {
        if (!isFaulty || !(error instanceof BackupError)) throw error;
        expect(error.code, error.message).not.toMatch(/^INTERNAL/);
        failures++;
      }
      if (isFaulty) continue;
      expect(bench.lab.leftovers(), `call ${call}`).toEqual([]);
      expect(vm.checkpointIds()).toContain(since);
      expect(vm.checkpointIds().length).toBeLessThanOrEqual(2 + 4);
    }
    console.log(`${CALLS} calls, ${failures} failed`);
    expect(faults.firedCount).toBeGreaterThan(CALLS);
  },
  LIMIT_MS,
);

/** The lab cancels an idle transfer after 600 s on its clock: 1.2 s. */
const STALL_MS = 2500;

describe('a sink that stalls for longer than an idle transfer lives', () => {
  it('gets the rest of its disk, and the disks that waited', async () => {
    const disks = [
      { name: 'sys', sizeBytes: 100 * MIB, bootable: true },
      { name: 'data', sizeBytes: MIB },
    ];
    const vm = bench.lab.addVm({ name: 'web01', disks });
    const copy = new VmCopy();
    const { checkpointId: since } = await pipeAll(bench, copy);
    vm.disk('sys').write(0, noise(3, 100 * MIB));
    vm.disk('data').write(0, noise(4, MIB));
    await using backup = await openVm(pipeOptions(bench, { since, strict: true }));
    let blocks = 0;
    for (const disk of backup.disks) {
      const { apply } = copy.of(disk);
      const block = async (record: PipedRecord): Promise<void> => {
        blocks++;
        if (blocks === 2) await sleep(STALL_MS);
        apply(record);
      };
      await disk.pipe({ block, zero: apply });
    }
    const { checkpointId } = await backup.finish();

    expect(copy.differences(vm, backup, checkpointId)).toEqual([]);
    const events = bench.lab.events().map(({ description }) => description);
    expect(events.filter((text) => text.includes('inactivity'))).toEqual([]);
  });
});
