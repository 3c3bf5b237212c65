/**
 * A chain of an image file in any repository: sessions, prunes, and checks of its points. No test
 * framework in here.
 */
import { deepStrictEqual, ok } from 'node:assert';
import path from 'node:path';
import { BackupError, type ErrorCode, RepositoryError } from '../../../src/core/errors.ts';
import { backupImages } from '../../../src/sessions/backup/backupImages.ts';
import { listRepository } from '../../../src/sessions/inspect/listRepository.ts';
import { pruneRepository } from '../../../src/sessions/retention/pruneRepository.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';
import { verifyRepository } from '../../../src/sessions/verify/verifyRepository.ts';
import { BLOCK_BYTES, sha256, writeImage } from '../bytes/images.ts';
import type { TestPlace } from '../lab/useLab.ts';
import { contentOf, VM } from '../repository/imageSessions.ts';

export class ImageChain {
  readonly place: TestPlace;
  readonly #folder: string;
  /** SHA-256 of the image at each point, by its id. */
  readonly #known: Map<string, string>;
  /** SHA-256 of the images of sessions that may have stored a point before they failed. */
  readonly #tried = new Set<string>();

  /** @param folder - where the image lies. */
  constructor(place: TestPlace, folder: string, known: ReadonlyMap<string, string> = new Map()) {
    this.place = place;
    this.#folder = folder;
    this.#known = new Map(known);
  }

  /** The same points in another place, which holds a copy of the repository, or will. */
  at(place: TestPlace): ImageChain {
    return new ImageChain(place, this.#folder, this.#known);
  }

  get imageFile(): string {
    return path.join(this.#folder, 'image');
  }

  /** Ids of the points of its own sessions, oldest first. */
  get knownIds(): string[] {
    return [...this.#known.keys()];
  }

  /** Writes the image for a session that another process makes. */
  prepare(image: Uint8Array): void {
    this.#tried.add(sha256(image));
    writeImage(this.imageFile, image);
  }

  /** One more session. The first gets the smallest block size. */
  async session(image: Uint8Array): Promise<SessionReport> {
    this.prepare(image);
    const report = await backupImages({
      ...this.place,
      images: [this.imageFile],
      vmName: VM,
      workers: 0,
      ...(this.#known.size === 0 && { blockSizeBytes: BLOCK_BYTES }),
    });
    this.#known.set(report.pointId, sha256(image));
    return report;
  }

  /** Keeps the last points. Throws the failure of the prune. */
  async prune(last: number): Promise<void> {
    const { vms } = await pruneRepository({ ...this.place, keep: { last }, workers: 0 });
    const failure = vms[0]?.failure;
    if (failure) throw new RepositoryError(failure.code as ErrorCode, failure.message);
  }

  /** Ids of the points that the repository lists, oldest first; none without a repository. */
  async pointIds(): Promise<string[]> {
    try {
      const { vms } = await listRepository(this.place);
      return vms.flatMap(({ points }) => points.map(({ pointId }) => pointId));
    } catch (error) {
      if (error instanceof BackupError && error.code === 'REPOSITORY_NOT_FOUND') return [];
      throw error;
    }
  }

  /**
   * These points are there. All that are there restore to the byte, and the repository verifies.
   * A point of a session that failed is whole, too.
   */
  async check(wanted: readonly string[] = this.knownIds): Promise<void> {
    const listed = await this.pointIds();
    // A first session that failed may have made no repository.
    if (wanted.length === 0 && listed.length === 0) return;
    for (const id of wanted) ok(listed.includes(id), `point ${id} is there`);
    for (const id of listed) await this.#checkPoint(id);
    const { damage } = await verifyRepository({ ...this.place, point: 'all', workers: 0 });
    deepStrictEqual(damage, [], 'the repository verifies');
  }

  /** The newest point restores to the byte. */
  async checkNewest(): Promise<void> {
    const newest = (await this.pointIds()).at(-1);
    ok(newest !== undefined, 'there is a point');
    await this.#checkPoint(newest);
  }

  async #checkPoint(id: string): Promise<void> {
    const { repository, store } = this.place;
    const { image = '' } = await contentOf(repository, VM, id, store);
    const expected = this.#known.get(id);
    if (expected === undefined) ok(this.#tried.has(image), `the new point ${id} is whole`);
    else deepStrictEqual(image, expected, `point ${id}`);
    this.#known.set(id, image);
  }
}
