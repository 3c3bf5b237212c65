/**
 * A VM of the lab whose guest writes during its sessions. Every point is compared with the view
 * that the engine froze for its session, not with later writes.
 */
import { expect } from 'vitest';
import type {
  LabDisk,
  LabDiskSpec,
  LabMatch,
  LabView,
  LabVm,
  LabVmSpec,
} from '../../../lab/src/index.ts';
import type { BackupVmsOptions } from '../../../src/sessions/backup/backupVms.ts';
import { listRepository } from '../../../src/sessions/inspect/listRepository.ts';
import type { DiskReport, SessionReport } from '../../../src/sessions/shared/report.ts';
import { BLOCK_BYTES, KIB } from '../bytes/images.ts';
import type { LabBench } from './useLab.ts';
import { noise, prose } from '../bytes/random.ts';

/** The kind of an engine's backup, and the VM that gets it. */
export interface VmKind {
  readonly kind: 'hybrid' | 'live' | 'cold';
  readonly spec: Pick<LabVmSpec, 'compatibility' | 'status'>;
}

export const VM_KINDS: readonly VmKind[] = [
  { kind: 'hybrid', spec: { compatibility: [4, 7] } },
  { kind: 'live', spec: { compatibility: [4, 6] } },
  { kind: 'cold', spec: { compatibility: [4, 6], status: 'down' } },
];

/** Five blocks and a tail that is no multiple of a bitmap's granularity. */
export const DISK_BYTES: number = 5 * BLOCK_BYTES + 5 * 512;
/** Blocks that {@link VmScene.edit} changes, and the one that the guest writes during sessions. */
const [EDITED_BLOCK, BUSY_BLOCK, ZEROED_BLOCK] = [0, 3, 4];
/** Bytes of an increment after one edit. They include the writes during the session before. */
export const EDITED_BYTES: number = 2 * BLOCK_BYTES;
/** Bytes of an increment without an edit. */
const BUSY_BYTES: number = BLOCK_BYTES;

/** Requests that come after the view was frozen. */
const DURING: readonly LabMatch[] = [
  { server: 'imageio', method: 'GET', path: /\/extents/ },
  { server: 'imageio', method: 'GET', path: /\/images\/[^/?]+$/ },
  { server: 'engine', method: 'POST', path: /\/backups\/[^/]+\/finalize/ },
];
/** A VM that is off cannot be started before its backup has ended. */
const AFTERWARDS: readonly LabMatch[] = [{ server: 'engine', method: 'POST', path: /\/events$/ }];

export class VmScene {
  readonly vm: LabVm;
  readonly reports: SessionReport[] = [];
  readonly #bench: LabBench;
  readonly #kind: VmKind;
  #writes = 0;

  constructor(bench: LabBench, kind: VmKind, disks: readonly Partial<LabDiskSpec>[] = [{}]) {
    this.#bench = bench;
    this.#kind = kind;
    const specs = disks.map((disk, k) => ({ name: `disk${k}`, sizeBytes: DISK_BYTES, ...disk }));
    this.vm = bench.lab.addVm({ name: 'web01', ...kind.spec, disks: specs });
    for (const [k, disk] of this.vm.disks.entries()) fill(disk, k);
    for (const match of kind.kind === 'cold' ? AFTERWARDS : DURING) {
      bench.lab.faults.add(match, { run: () => this.#writeBusy() });
    }
  }

  /** Every guest write of a session goes to the same block. */
  #writeBusy(): void {
    this.#writes++;
    for (const disk of this.vm.disks) {
      disk.write(BUSY_BLOCK * BLOCK_BYTES + 700, Buffer.from(`write ${this.#writes} `));
    }
  }

  /** A guest's writes between sessions: one block gets other data, another becomes zeros. */
  edit(disks: readonly LabDisk[] = this.vm.disks): void {
    for (const disk of disks) {
      this.#writes++;
      disk.write(EDITED_BLOCK * BLOCK_BYTES + 100 * KIB, Buffer.from(`edit ${this.#writes} `));
      disk.zero(ZEROED_BLOCK * BLOCK_BYTES, BLOCK_BYTES);
    }
  }

  async session(options: Partial<BackupVmsOptions> = {}): Promise<SessionReport> {
    const writes = this.#writes;
    const report = await this.#bench.backup(this.vm, options);
    expect(this.#writes, 'the guest wrote during the session').toBeGreaterThan(writes);
    this.reports.push(report);
    return report;
  }

  /** A full, an edit, `between`, and one more session. @returns the report of the last. */
  async fullThen(between: () => void = () => {}): Promise<SessionReport> {
    await this.session();
    this.edit();
    between();
    return await this.session();
  }

  /** Restores every point, and expects the view that was frozen for it. */
  async expectEveryPoint(): Promise<void> {
    for (const report of this.reports) {
      const names = report.disks.map((disk) => disk.alias);
      const views = names.map((name): [string, LabView] => [name, this.frozenView(report, name)]);
      await this.#bench.expectRestored(this.vm, Object.fromEntries(views), report.pointId);
    }
  }

  frozenView(report: SessionReport, alias: string): LabView {
    return this.vm.frozenView(report.engine?.backupId ?? '', alias);
  }

  /**
   * One more session, without an edit. It holds only the writes during the session before. Then
   * every point is restored.
   */
  async expectContinued(modes: Readonly<Record<string, DiskReport['mode']>>): Promise<void> {
    const report = await this.session();

    expect(modesOf(report)).toEqual(modes);
    for (const { alias, changedBytes } of report.disks) {
      expect.soft([alias, changedBytes]).toEqual([alias, BUSY_BYTES]);
    }
    await this.expectEveryPoint();
    await this.expectListed();
    this.expectOneCheckpoint();
  }

  /** The chain metadata has the same mode and reason of each disk as the reports. */
  async expectListed(): Promise<void> {
    const { repository, store } = this.#bench;
    const { vms } = await listRepository({ repository, store, vm: this.vm.id });
    const listed = vms[0]?.points.map(({ disks }) => disks.map(factsOf));
    expect(listed).toEqual(this.reports.map(({ disks }) => disks.map(factsOf)));
  }

  /** Only the checkpoint of the newest point may be left. */
  expectOneCheckpoint(): void {
    const newest = this.reports.at(-1)?.engine?.toCheckpointId ?? '';
    const left = this.vm.checkpointIds().filter((id) => id !== newest);
    expect(left).toEqual([]);
  }

  get kind(): VmKind['kind'] {
    return this.#kind.kind;
  }
}

type DiskFacts = Pick<DiskReport, 'diskId' | 'mode' | 'reason'>;

function factsOf({ diskId, mode, reason }: DiskFacts): DiskFacts {
  return { diskId, mode, reason };
}

/** Data, a hole, text, data, data, and a tail of some sectors. */
function fill(disk: LabDisk, seed: number): void {
  const lastBytes = disk.sizeBytes - 5 * BLOCK_BYTES;
  disk.write(0, noise(seed * 10 + 1, BLOCK_BYTES));
  disk.write(2 * BLOCK_BYTES, prose(seed * 10 + 2, BLOCK_BYTES));
  disk.write(3 * BLOCK_BYTES, noise(seed * 10 + 3, 2 * BLOCK_BYTES));
  if (lastBytes > 0) disk.write(5 * BLOCK_BYTES, noise(seed * 10 + 4, lastBytes));
}

export function modesOf(report: SessionReport): Record<string, DiskReport['mode']> {
  return Object.fromEntries(report.disks.map(({ alias, mode }) => [alias, mode]));
}

export function reasonsOf(report: SessionReport): Record<string, string> {
  return Object.fromEntries(report.disks.map(({ alias, reason }) => [alias, reason]));
}

export function changedOf(report: SessionReport): Record<string, number> {
  return Object.fromEntries(report.disks.map(({ alias, changedBytes }) => [alias, changedBytes]));
}
