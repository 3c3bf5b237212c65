/** The model of the soak: every VM of the lab, and every byte of every restore point. */
import { deepStrictEqual, ok } from 'node:assert';
import { isDeepStrictEqual } from 'node:util';
import { BackupError } from '../../src/core/errors.ts';
import type { LabDisk, LabVm } from '../../lab/src/index.ts';
import { contentOf, type PointContent } from '../helpers/repository/imageSessions.ts';
import { pointIdsOf } from '../helpers/repository/repositoryFiles.ts';
import type { PlainLab } from '../helpers/lab/plainLab.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import type { Random } from '../helpers/bytes/random.ts';
import { applyEdit, FILLS } from '../helpers/lab/troubles.ts';
import type { Soak } from './soak.ts';

const MAX_DISKS = 4;
const GROWTH_BYTES = 300_032;
const MAX_DISK_BYTES = 6 * BLOCK_BYTES;

/** The expected content of a restore point. */
export interface KnownPoint {
  readonly pointId: string;
  readonly content: PointContent;
  readonly sizeBytes: number;
}

export class SoakVm {
  readonly vm: LabVm;
  /** Oldest first. */
  points: KnownPoint[] = [];
  /** Ids of points that need a damaged stored block. An id stays until its point is deleted. */
  damaged: ReadonlySet<string> = new Set();
  /** Damaged stored blocks, as `file name/block id`. */
  readonly rotten = new Set<string>();
  readonly #random: Random;
  /** Possible contents of points that cut-off sessions may have stored. */
  readonly #perhaps: PointContent[] = [];
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

  /** The guest writes, zeroes, or writes the same data again. */
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

  /** Bytes change without an entry in the change map. The next session must audit everything. */
  writeUntracked(): void {
    const disk = this.pickDisk();
    const lengthBytes = Math.min(disk.sizeBytes, 512 * (1 + this.#random.below(64)));
    const offsetBytes = this.#random.below(disk.sizeBytes - lengthBytes + 1);
    disk.writeUntracked(offsetBytes, this.#random.bytes(lengthBytes));
  }

  /**
   * Call it before a session that may commit a point without a report: killed, or with failing
   * files. No guest writes during it, so its point holds the present content of the disks.
   */
  expectPerhaps(): void {
    const digests = this.disks.map((disk): [string, string] => [disk.name, disk.digest()]);
    this.#perhaps.push(Object.fromEntries(digests));
  }

  /**
   * Listed points that are not known come from sessions that gave no report. Finds their content.
   */
  async learn(soak: Soak): Promise<readonly string[]> {
    const listed = await pointIdsOf(soak.repository, this.vm.id);
    for (const pointId of listed) {
      if (this.points.some((point) => point.pointId === pointId)) continue;
      const content = await this.#readUnknown(soak, pointId);
      this.points.push({ pointId, content, sizeBytes: 0 });
    }
    const placeOf = ({ pointId }: KnownPoint): number => listed.indexOf(pointId);
    this.points.sort((a, b) => placeOf(a) - placeOf(b));
    return listed;
  }

  async #readUnknown(soak: Soak, pointId: string): Promise<PointContent> {
    // The content of a damaged point is not known.
    if (this.damaged.has(pointId)) return {};
    const content = await contentOf(soak.repository, this.vm.id, pointId);
    const isExpected = this.#perhaps.some((one) => isDeepStrictEqual(one, content));
    ok(isExpected, `point ${pointId} is that of a session that was cut off`);
    return content;
  }

  /**
   * After a prune: points that had to stay exist. All other missing points are forgotten.
   *
   * @param mustKeep - picks the points that the policy certainly keeps. It gets all points, oldest
   *   first.
   * @returns the number of deleted points.
   */
  async learnPruned(
    soak: Soak,
    mustKeep: (points: readonly KnownPoint[]) => readonly KnownPoint[],
  ): Promise<number> {
    const before = [...this.points];
    const listed = new Set(await this.learn(soak));
    // Newly listed points are newer than all others.
    const fresh = this.points.filter((point) => !before.includes(point));
    const all = [...before, ...fresh];
    for (const { pointId } of mustKeep(all)) ok(listed.has(pointId), `point ${pointId} stays`);
    this.points = this.points.filter(({ pointId }) => listed.has(pointId));
    return all.length - this.points.length;
  }

  /**
   * Verifies every stored block of the VM.
   *
   * @returns ids of the damaged points, oldest first. From now on they are known as damaged.
   */
  async verify(soak: Soak): Promise<readonly string[]> {
    const options = { repository: soak.repository, vm: this.vm.id, point: 'all', workers: 0 };
    const { points, failures } = await verifyRepository(options);
    deepStrictEqual(failures, [], 'the VM can be verified');
    const found = points.filter((point) => point.isDamaged).map((point) => point.pointId);
    this.damaged = new Set(found);
    soak.figures.verifies++;
    return found;
  }

  /** Verify finds the known damage and no other. */
  async checkDamage(soak: Soak): Promise<void> {
    const known = this.points.filter(({ pointId }) => this.damaged.has(pointId));
    const ids = known.map(({ pointId }) => pointId);
    deepStrictEqual(await this.verify(soak), ids, 'points that are damaged');
  }

  /** Restores a point and compares it. A damaged point fails with a damage error, or is right. */
  async checkPoint(soak: Soak, point: KnownPoint): Promise<void> {
    const restored = await this.#restore(soak, point);
    if (!restored) return;
    deepStrictEqual(restored, point.content, `point ${point.pointId}`);
    soak.figures.pointsRestored++;
    soak.figures.bytesCompared += point.sizeBytes;
  }

  async #restore(soak: Soak, { pointId }: KnownPoint): Promise<PointContent | undefined> {
    try {
      return await contentOf(soak.repository, this.vm.id, pointId);
    } catch (error) {
      const isDamage = error instanceof BackupError && error.code.startsWith('INTEGRITY_');
      if (!isDamage || !this.damaged.has(pointId)) throw error;
      soak.figures.damagedRefused++;
      return undefined;
    }
  }

  async checkAll(soak: Soak): Promise<void> {
    await this.learn(soak);
    for (const point of this.points) await this.checkPoint(soak, point);
  }

  /** Records the frozen content of a session. */
  remember(lab: PlainLab, report: SessionReport): void {
    const sizeBytes = report.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
    const content = lab.frozenContent(this.vm, report);
    this.points.push({ pointId: report.pointId, content, sizeBytes });
  }
}
