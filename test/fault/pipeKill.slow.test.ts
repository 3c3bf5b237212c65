/**
 * Pipes that are killed without a warning, at any request. The next call with the same journal, or
 * `cleanup`, cleans up on the engine, and gives right bytes. What belongs to others stays.
 */
import { describe, expect, it } from 'vitest';
import type { LabMatch, LabVm } from '../../lab/src/index.ts';
import type { OpenVmOptions } from '../../src/sessions/pipe/openVm.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { createRandom, noise } from '../helpers/bytes/random.ts';
import { cleanUp, killAt, type KillResult } from '../helpers/faults/killedVmWork.ts';
import { pipeAll, pipeOptions, VmCopy } from '../helpers/lab/pipes.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { VM_KINDS, type VmKind } from '../helpers/lab/vmScene.ts';
import { IS_LONG_FORM } from '../helpers/longForm.ts';

const bench = useLab();
const LIMIT_MS = 3_600_000;
const MAX_REQUESTS = 200;
const TRIES = 4;
/** Requests of one call; a sample is drawn from these. */
const USUAL_REQUESTS = 40;
const [HYBRID] = VM_KINDS as [VmKind];

/** A VM that was piped once. Its guest writes between the calls. */
class PipedVm {
  readonly vm: LabVm;
  readonly copy: VmCopy = new VmCopy();
  since = '';
  #writes = 0;

  constructor({ spec }: VmKind) {
    const disks = [
      { name: 'sys', sizeBytes: 3 * BLOCK_BYTES + 512, bootable: true },
      { name: 'redo', sizeBytes: BLOCK_BYTES, format: 'raw' as const },
    ];
    this.vm = bench.lab.addVm({ name: 'web01', ...spec, disks });
    this.write();
  }

  write(): void {
    this.#writes++;
    const place = 5000 * (this.#writes % 50);
    for (const disk of this.vm.disks) {
      disk.write(place, noise(this.#writes, 4000));
      disk.zero(0, place);
    }
  }

  /** A call that ends well. It needs no more than `since`. */
  async pipe(): Promise<void> {
    const given = this.since ? { since: this.since, strict: true } : {};
    const { checkpointId, backup } = await pipeAll(bench, this.copy, given);
    expect(this.copy.differences(this.vm, backup, checkpointId)).toEqual([]);
    const kept = [this.since, checkpointId].filter((id) => id !== '');
    this.since = checkpointId;
    expect(bench.lab.leftovers()).toEqual([]);
    expect(this.vm.checkpointIds()).toEqual(expect.arrayContaining(kept));
    this.write();
  }

  async killAt(nth: number, match: LabMatch = {}): Promise<KillResult> {
    const options: OpenVmOptions = pipeOptions(bench, { since: this.since || undefined });
    return await killAt(bench, { nth, ...match }, { action: 'pipeVm', options });
  }
}

/** Numbers of requests: all in the long form, otherwise some. */
function* requests(seed: number): Generator<number> {
  if (IS_LONG_FORM) {
    for (let nth = 1; nth < MAX_REQUESTS; nth++) yield nth;
    return;
  }
  const random = createRandom(seed);
  const share = USUAL_REQUESTS / TRIES;
  for (let k = 0; k < TRIES; k++) yield 1 + Math.floor(k * share) + random.below(share);
}

describe.each(VM_KINDS)('a pipe of a $kind backup that is killed', (kind) => {
  it(
    'at any request is cleaned up after by the next call',
    async () => {
      const piped = new PipedVm(kind);
      await piped.pipe();
      for (const nth of requests(1)) {
        const killed = await piped.killAt(nth);
        await piped.pipe();
        // A checkpoint that a killed call made is gone after two calls.
        await piped.pipe();
        expect(piped.vm.checkpointIds().length, `request ${nth}`).toBeLessThanOrEqual(2);
        if (!killed.wasKilled) return;
      }
    },
    LIMIT_MS,
  );
});

describe('a pipe that is killed', () => {
  it(
    'at any request is cleaned up after by the command',
    async () => {
      const piped = new PipedVm(HYBRID);
      await piped.pipe();
      for (const nth of requests(2)) {
        const killed = await piped.killAt(nth);
        const report = await cleanUp(bench, piped.vm);

        expect(report.left, `request ${nth}`).toEqual([]);
        expect(bench.lab.leftovers(), `request ${nth}`).toEqual([]);
        await piped.pipe();
        if (!killed.wasKilled) return;
      }
    },
    LIMIT_MS,
  );

  it('while it reads keeps no checkpoint after the command', async () => {
    const piped = new PipedVm(HYBRID);
    await piped.pipe();
    const before = piped.vm.checkpointIds();
    await piped.killAt(1, { path: /\/extents/ });
    expect(piped.vm.checkpointIds().length).toBe(before.length + 1);

    await cleanUp(bench, piped.vm);

    expect(piped.vm.checkpointIds()).toEqual(before);
    await piped.pipe();
  });

  it('in its first call leaves a VM that can be piped in full', async () => {
    const piped = new PipedVm(HYBRID);
    const killed = await piped.killAt(20);

    expect(killed.wasKilled, killed.output).toBe(true);
    await piped.pipe();
    await piped.pipe();
  });

  it('leaves checkpoints and points of sessions as they are', async () => {
    const piped = new PipedVm(HYBRID);
    const session = await bench.backup(piped.vm);
    await piped.pipe();
    await piped.killAt(25);
    await piped.pipe();

    expect(piped.vm.checkpointIds()).toContain(session.engine?.toCheckpointId);
    const next = await bench.backup(piped.vm);
    expect(next.disks[0]).toMatchObject({ mode: 'incremental' });
    expect(piped.vm.checkpointIds()).toContain(piped.since);
    await piped.pipe();
  });
});
