/**
 * Many sessions over one VM. The guest writes, trouble happens, and about one request in twenty
 * fails. Committed points are right, failed sessions change nothing, and nothing grows. `npm run
 * sweep` has two hundred sessions.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { BackupError } from '../../src/core/errors.ts';
import type { LabVm } from '../../lab/src/index.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { BLOCK_BYTES, KIB } from '../helpers/bytes/images.ts';
import { type LabBench, useLab } from '../helpers/lab/useLab.ts';
import { activeResources, newResources } from '../helpers/faults/leaks.ts';
import { longOr } from '../helpers/longForm.ts';
import { createRandom, type Random } from '../helpers/bytes/random.ts';
import {
  FAULTY_TIMINGS,
  RANDOM_FAULTS,
  applyEdit,
  type Edit,
  FILLS,
  makeTrouble,
  type Trouble,
} from '../helpers/lab/troubles.ts';

const SESSIONS = longOr(200, 12);
/** Sessions after which caches are warm. */
const WARM = longOr(40, 4);
const SEED = Number(process.env['SOAK_SEED'] ?? 20_261_122);
const HEAP_SLACK_BYTES = 48 * 1024 * KIB;
const LIMIT_MS = 900_000;

/** Trouble between sessions; most often none. */
const TROUBLES: readonly Trouble[] = [
  ...Array.from({ length: 18 }, () => 'none' as const),
  'full requested',
  'checkpoint removed',
  'checkpoint invalid',
  'bitmaps broken',
  'checkpoint refused',
  'change map refused',
  'attached again',
];

/** Tickets live longer than a pause of this process on a busy machine. */
const bench = useLab({ timeScale: 0.01 });

function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.below(items.length)] as T;
}

function randomEdit(random: Random): Edit {
  return {
    fill: pick(random, FILLS),
    seed: random.below(1000),
    offsetBytes: random.below(2200 * KIB),
    lengthBytes: 1 + random.below(random.below(3) === 0 ? 600 * KIB : 5000),
  };
}

/** Sessions over one VM with faults of the lab, and their results. */
class Soak {
  readonly #bench: LabBench;
  readonly #random = createRandom(SEED);
  readonly vm: LabVm;
  readonly failures: string[] = [];
  readonly committed: SessionReport[] = [];
  /** Requests that went wrong. */
  thrown = 0;

  constructor(owner: LabBench) {
    this.#bench = owner;
    this.vm = owner.lab.addVm({
      name: 'soak',
      disks: [
        { name: 'a', sizeBytes: 2 * 1024 * KIB + 512 },
        { name: 'b', sizeBytes: 1_500_160 },
        { name: 'c', sizeBytes: 1024 * KIB + 65_536 + 1024, format: 'raw' },
      ],
    });
    for (let k = 0; k < 12; k++) this.#edit();
    // The guest writes before and after the moment at which its view is frozen.
    const moments = /\/backups\/[^/]+$|\/extents|\/images\/[^/]+$|\/finalize$/;
    owner.lab.faults.add({ path: moments, probability: 0.5 }, { run: () => this.#edit() });
    owner.lab.faults.seed(SEED);
  }

  #edit(): void {
    applyEdit(pick(this.#random, this.vm.disks), randomEdit(this.#random));
  }

  async session(): Promise<void> {
    const { lab } = this.#bench;
    for (let k = this.#random.below(3); k > 0; k--) this.#edit();
    const disk = pick(this.#random, this.vm.disks);
    const { mode, end } = makeTrouble(pick(this.#random, TROUBLES), lab, this.vm, disk);
    const faults = RANDOM_FAULTS.map(([match, action, probability]) =>
      lab.faults.add({ ...match, probability }, action),
    );
    try {
      const engine = this.#bench.settings(FAULTY_TIMINGS);
      const wanted = { mode, engine, blockSizeBytes: BLOCK_BYTES };
      this.committed.push(await this.#bench.backup(this.vm, wanted));
    } catch (error) {
      if (!(error instanceof BackupError) || error.code.startsWith('INTERNAL')) throw error;
      this.failures.push(`${error.code} ${error.message}`);
    } finally {
      for (const fault of faults) {
        lab.faults.remove(fault);
        this.thrown += lab.faults.fired(fault);
      }
      end();
    }
  }

  /** Expects the newest point to hold the view that the engine froze for it. */
  async expectNewest(): Promise<void> {
    const newest = this.committed.at(-1);
    if (!newest) return;
    const id = newest.engine?.backupId ?? '';
    const views = newest.disks.map(({ alias }) => [alias, this.vm.frozenView(id, alias)] as const);
    await this.#bench.expectRestored(this.vm, Object.fromEntries(views), newest.pointId);
  }

  expectFewCheckpoints(): void {
    const base = this.committed.at(-1)?.engine?.toCheckpointId ?? '';
    expect(this.vm.checkpointIds().filter((id) => id !== base)).toEqual([]);
  }
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

async function expectVerified(): Promise<void> {
  const { repository } = bench;
  const { damage } = await verifyRepository({ repository, point: 'all', workers: 0 });
  expect(damage).toEqual([]);
}

test(
  `${SESSIONS} sessions with faults commit only what is right, and nothing grows (seed ${SEED})`,
  async () => {
    const soak = new Soak(bench);
    let [heapWasBytes, resources] = [0, activeResources()];
    for (let k = 0; k < SESSIONS; k++) {
      const committed = soak.committed.length;

      await soak.session();

      if (soak.committed.length > committed) soak.expectFewCheckpoints();
      if (k % 3 === 0) await soak.expectNewest();
      if (k === WARM) [heapWasBytes, resources] = [heapBytes(), activeResources()];
    }
    await soak.expectNewest();
    await expectVerified();
    expect(soak.thrown / bench.lab.requests.length).toBeGreaterThan(0.02);
    expect(soak.committed.length, soak.failures.join('\n')).toBeGreaterThan(SESSIONS / 2);
    expect(heapBytes() - heapWasBytes).toBeLessThan(HEAP_SLACK_BYTES);
    expect(bench.lab.leftovers()).toEqual([]);
    // Connections without an answer are kept by the lab.
    await bench.lab.close();
    await expect.poll(() => newResources(resources)).toEqual([]);
  },
  LIMIT_MS,
);
