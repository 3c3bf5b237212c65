/**
 * Anything may happen to a VM between and during its sessions. Still every committed point restores
 * to the view that was frozen for it. And no session asks imageio for blocks other than those with
 * data that may have changed.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LabDisk, LabMatch, LabVm } from '../../lab/src/index.ts';
import type { DiskReport, SessionReport } from '../../src/sessions/shared/report.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { BLOCK_BYTES } from '../helpers/images.ts';
import { useLab } from '../helpers/lab.ts';
import { longOr } from '../helpers/longForm.ts';
import { VM_KINDS } from '../helpers/vmScene.ts';
import {
  applyEdit,
  dirtyBlockBytes,
  type Edit,
  FILLS,
  makeTrouble,
  type Range,
  type Trouble,
  TROUBLES,
  writtenBlockBytes,
} from '../helpers/vmTroubles.ts';

const MAX_BLOCKS = 4;
const RUNS = longOr(15, 5);
const LIMIT_MS = 300_000;

/** On, just before or just after block borders as often as anywhere else. */
const position = fc.oneof(
  fc.integer({ min: 0, max: MAX_BLOCKS * BLOCK_BYTES }),
  fc
    .tuple(fc.integer({ min: 0, max: MAX_BLOCKS }), fc.integer({ min: -1, max: 1 }))
    .map(([block, shift]) => Math.max(0, block * BLOCK_BYTES + shift)),
);
const edit = fc.record({
  disk: fc.nat({ max: 2 }),
  fill: fc.constantFrom(...FILLS),
  seed: fc.integer({ min: 0, max: 3 }),
  offsetBytes: position,
  lengthBytes: position.map((bytes) => bytes + 1),
});
const trouble = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Trouble>('none') },
  { weight: 3, arbitrary: fc.constantFrom(...TROUBLES) },
);
const step = fc.record({
  before: fc.array(edit, { maxLength: 3 }),
  during: fc.array(edit, { maxLength: 2 }),
  trouble,
  troubled: fc.nat({ max: 2 }),
});
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type DiskEdit = Edit & { readonly disk: number };

const diskSpec = fc.record({
  sectors: fc.integer({ min: 1200, max: (MAX_BLOCKS * BLOCK_BYTES) / 512 }),
  format: fc.constantFrom('cow', 'cow', 'raw'),
});
const scenario = fc.record({
  kind: fc.constantFrom(...VM_KINDS),
  disks: fc.array(diskSpec, { minLength: 1, maxLength: 3 }),
  steps: fc.array(step, { minLength: 2, maxLength: 5 }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

const bench = useLab();
const AFTER_FREEZE: LabMatch = { server: 'imageio', method: 'GET', path: /extents/, times: 1 };

class PlayedScenario {
  readonly vm: LabVm;
  readonly reports: SessionReport[] = [];
  /** For each disk: ranges written since the last frozen moment. */
  #writes = new Map<string, Range[]>();

  constructor({ kind, disks }: Scenario) {
    this.vm = bench.lab.addVm({
      name: 'vm',
      ...kind.spec,
      disks: disks.map(({ sectors, format }, k) => {
        return { name: `disk${k}`, sizeBytes: sectors * 512, format };
      }),
    });
  }

  #apply(edits: readonly DiskEdit[]): void {
    for (const one of edits) {
      const disk = this.#disk(one.disk);
      const ranges = this.#writes.get(disk.id) ?? [];
      this.#writes.set(disk.id, [...ranges, applyEdit(disk, one)]);
    }
  }

  #disk(index: number): LabDisk {
    const { disks } = this.vm;
    return disks[index % disks.length] as LabDisk;
  }

  async session({ before, during, trouble: named, troubled }: Step): Promise<void> {
    const { lab } = bench;
    this.#apply(before);
    const isLastDisk = named === 'removed' && this.vm.disks.length === 1;
    const disk = this.#disk(troubled);
    const { mode, end } = makeTrouble(isLastDisk ? 'none' : named, lab, this.vm, disk);
    const written = this.#writes;
    const run = (): void => {
      this.#writes = new Map();
      this.#apply(during);
    };
    const fault = lab.faults.add(AFTER_FREEZE, { run });
    lab.traffic.reset();

    const report = await bench.backup(this.vm, { mode, blockSizeBytes: BLOCK_BYTES });

    lab.faults.remove(fault);
    end();
    this.reports.push(report);
    for (const one of report.disks) this.#expectFrugal(report, one, written);
  }

  #expectFrugal(
    report: SessionReport,
    disk: DiskReport,
    written: ReadonlyMap<string, Range[]>,
  ): void {
    // A session that starts its backup a second time may have read some disks before.
    if (report.engine?.backupsStarted !== 1) return;
    const view = this.vm.frozenView(report.engine.backupId, disk.diskId);
    const mayReadBytes =
      disk.mode === 'incremental'
        ? dirtyBlockBytes(view, BLOCK_BYTES, written.get(disk.diskId) ?? [])
        : writtenBlockBytes(view, BLOCK_BYTES);
    const readBytes = bench.lab.traffic.readBytes.get(disk.diskId) ?? 0;
    expect(readBytes, `${disk.alias} ${disk.mode}`).toBeLessThanOrEqual(mayReadBytes);
  }

  async expectEveryPoint(): Promise<void> {
    for (const { disks, engine, pointId } of this.reports) {
      const views = disks.map(({ alias, diskId }) => {
        return [alias, this.vm.frozenView(engine?.backupId ?? '', diskId)] as const;
      });
      await bench.expectRestored(this.vm, Object.fromEntries(views), pointId);
    }
    const { repository } = bench;
    const point = 'all';
    const { damage } = await verifyRepository({ repository, vm: this.vm.id, point, workers: 0 });
    expect(damage).toEqual([]);
  }
}

async function expectAllRestored(given: Scenario): Promise<void> {
  const run = new PlayedScenario(given);
  for (const one of given.steps) await run.session(one);
  await run.expectEveryPoint();
  expect(bench.lab.leftovers()).toEqual([]);
}

test(
  'every point of a VM restores to its frozen view, and no session reads more than it has to',
  async () => {
    await fc.assert(fc.asyncProperty(scenario, expectAllRestored), { numRuns: RUNS });
  },
  LIMIT_MS,
);
