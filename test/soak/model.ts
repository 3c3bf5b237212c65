/** What the soak knows: every VM of the lab, and every byte of every restore point. */
import type { LabDisk, LabVm } from '../../src/lab/index.ts';
import type { PointContent } from '../helpers/plainRepository.ts';
import type { PlainLab } from '../helpers/plainLab.ts';
import type { SessionReport } from '../../src/session/report.ts';
import { BLOCK_BYTES } from '../helpers/images.ts';
import type { Random } from '../helpers/random.ts';
import { applyEdit, FILLS } from '../helpers/vmTroubles.ts';

const MAX_DISKS = 4;
const GROWTH_BYTES = 300_032;
const MAX_DISK_BYTES = 6 * BLOCK_BYTES;

/** A restore point as it has to be. */
export interface KnownPoint {
  readonly pointId: string;
  readonly content: PointContent;
  readonly sizeBytes: number;
}

export class SoakVm {
  readonly vm: LabVm;
  /** Oldest first. */
  readonly points: KnownPoint[] = [];
  readonly #random: Random;
  #disksMade = 0;

  constructor(lab: PlainLab, name: string, random: Random) {
    this.#random = random;
    const compatibility = random.below(3) === 0 ? ([4, 6] as const) : ([4, 7] as const);
    this.vm = lab.lab.addVm({ name, compatibility, disks: [] });
    for (let k = random.below(2); k >= 0; k--) this.addDisk();
  }

  get disks(): readonly LabDisk[] {
    return this.vm.disks;
  }

  pickDisk(): LabDisk {
    return this.disks[this.#random.below(this.disks.length)] as LabDisk;
  }

  addDisk(): void {
    if (this.disks.length >= MAX_DISKS) return;
    const name = `disk${this.#disksMade++}`;
    const sizeBytes = BLOCK_BYTES + 512 * this.#random.below((3 * BLOCK_BYTES) / 512);
    const format = this.#random.below(4) === 0 ? 'raw' : 'cow';
    this.vm.addDisk({ name, sizeBytes, format });
    this.write();
  }

  removeDisk(): void {
    if (this.disks.length > 1) this.vm.detachDisk(this.pickDisk().id);
  }

  grow(): void {
    const disk = this.pickDisk();
    if (disk.sizeBytes < MAX_DISK_BYTES) disk.resize(disk.sizeBytes + GROWTH_BYTES);
  }

  /** The guest writes, zeroes, or writes again what is there. */
  write(): void {
    const random = this.#random;
    const disk = this.pickDisk();
    applyEdit(disk, {
      fill: FILLS[random.below(FILLS.length)] ?? 'noise',
      seed: random.below(1000),
      offsetBytes: random.below(disk.sizeBytes),
      lengthBytes: 1 + random.below(random.below(3) === 0 ? 600_000 : 5000),
    });
  }

  /** Notes what a session froze. */
  remember(lab: PlainLab, report: SessionReport): void {
    const sizeBytes = report.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
    const content = lab.frozenContent(this.vm, report);
    this.points.push({ pointId: report.pointId, content, sizeBytes });
  }
}
