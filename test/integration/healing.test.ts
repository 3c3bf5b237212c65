/**
 * Bit rot in 100 random stored blocks of a chain. Verify finds them all. The next session stores
 * again the blocks that its point needs. Exactly the points that stay damaged are named.
 */
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { IntegrityError } from '../../src/core/errors.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { verifyRepository, type VerifyReport } from '../../src/sessions/verify/verifyRepository.ts';
import {
  composeAll,
  type Composition,
  damagedPoints,
  linesOf,
  rot,
  rotSome,
} from '../helpers/faults/bitRot.ts';
import { BLOCK_BYTES, sha256, sha256OfFile, writeImage } from '../helpers/bytes/images.ts';
import { prose, createRandom, type Random } from '../helpers/bytes/random.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { backup, expectRestored, restore } from '../helpers/repository/imageSessions.ts';
import { messageCodes } from '../helpers/codes.ts';
import { pointsOf, vmFolderOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const FLIPS = 100;
const SEED = 20_261_123;

async function verifyAll(repository: string, point = 'all'): Promise<VerifyReport> {
  return await verifyRepository({ repository, point, workers: 0 });
}

/** Damaged stored blocks of a report, in the form of {@link linesOf}. */
function reportedLines({ damage }: VerifyReport): string[] {
  return damage
    .flatMap(({ fileName, blockId, uses = [] }) =>
      uses.flatMap(({ alias, offsetBytes, pointIds }) =>
        pointIds.map((id) => `${id} ${alias} ${offsetBytes} ${fileName}/${blockId}`),
      ),
    )
    .toSorted();
}

function damagedOf({ points }: VerifyReport): string[] {
  return points.filter((point) => point.isDamaged).map((point) => point.pointId);
}

async function listedAsDamaged(repository: string): Promise<string[]> {
  const { vms } = await listRepository({ repository });
  return vms.flatMap(({ points }) =>
    points.filter((point) => point.verified?.isDamaged).map((point) => point.pointId),
  );
}

/** Expects verify to name exactly these blocks, their places and the points that need them. */
function expectFound(found: VerifyReport, before: Composition, keys: ReadonlySet<string>): void {
  const stored = found.damage.map(({ fileName, blockId }) => `${fileName}/${blockId}`);
  expect(stored.toSorted()).toEqual([...keys].toSorted());
  expect(reportedLines(found)).toEqual(linesOf(before.places, keys));
  expect(damagedOf(found)).toEqual(damagedPoints(before, keys));
}

/** Expects that a session healed the damage of its parent, and that older points stay damaged. */
async function expectHealed(
  repository: string,
  session: SessionReport,
  before: Composition,
  keys: ReadonlySet<string>,
): Promise<void> {
  const parent = before.points.at(-1)?.pointId ?? '';
  const places = before.places.filter((place) => place.pointId === parent);
  const damaged = damagedPoints(before, keys);
  const blockCount = linesOf(places, keys).length;
  expect(blockCount).toBeGreaterThan(10);
  expect(messageCodes(session)).toContain('REPO-502');
  expect(session.healing).toEqual({ blockCount, damagedPointIds: damaged });
  expect(await listedAsDamaged(repository)).toEqual(damaged);
  expect(await verifyAll(repository, 'latest')).toMatchObject({ outcome: 'ok' });
  const again = await verifyAll(repository);
  expect(again.outcome).toBe('damaged');
  expect(damagedOf(again)).toEqual(damaged);
}

/** An image in which each block holds its own name. */
class BlockImage {
  readonly #blocks: Buffer[];
  readonly #random: Random;
  #round = 0;

  constructor(blockCount: number, random: Random) {
    this.#random = random;
    this.#blocks = Array.from({ length: blockCount }, (_, k) => prose(`block ${k}`, BLOCK_BYTES));
  }

  get content(): Buffer {
    return Buffer.concat(this.#blocks);
  }

  /** Changes some blocks; every tenth of them becomes zeros. */
  edit(count: number): void {
    this.#round++;
    for (let k = 0; k < count; k++) {
      const index = this.#random.below(this.#blocks.length);
      const text = `block ${index} of round ${this.#round}`;
      this.#blocks[index] = k % 10 === 9 ? Buffer.alloc(BLOCK_BYTES) : prose(text, BLOCK_BYTES);
    }
  }
}

/** A bad sector: reads that begin at this offset of a file fail. */
async function failReadsAt(offsetBytes: number): Promise<AsyncDisposable> {
  const probe = await open('/dev/null', 'r');
  const prototype = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();
  const original = Reflect.get(prototype, 'read') as (...args: unknown[]) => unknown;
  const spy = vi.spyOn(prototype, 'read').mockImplementation(function (
    this: FileHandle,
    ...args: unknown[]
  ) {
    if (args[3] === offsetBytes) throw Object.assign(new Error('EIO'), { code: 'EIO' });
    return Reflect.apply(original, this, args) as never;
  });
  return { [Symbol.asyncDispose]: async () => spy.mockRestore() };
}

describe('a chain of images', () => {
  const temp = useTempFolder();

  test('with rotten blocks is named exactly, and healed where it is alive', async () => {
    const repository = temp.path('repo');
    const image = new BlockImage(120, createRandom(SEED));
    const contents = new Map<string, Buffer>();
    const session = async (): Promise<SessionReport> => {
      const report = await backup(repository, writeImage(temp.path('a'), image.content));
      contents.set(report.pointId, image.content);
      return report;
    };
    for (const edits of [0, 30, 40, 20]) {
      image.edit(edits);
      await session();
    }
    const before = await composeAll(vmFolderOf(repository));
    const keys = rotSome(vmFolderOf(repository), before, FLIPS, SEED);

    expectFound(await verifyAll(repository), before, keys);
    image.edit(10);
    await expectHealed(repository, await session(), before, keys);

    const damaged = new Set(damagedPoints(before, keys));
    for (const [point, content] of contents) {
      const restored = restore(repository, { point });
      if (damaged.has(point)) await expect(restored).rejects.toBeInstanceOf(IntegrityError);
      else expect(sha256OfFile(path.join(await restored, 'a'))).toBe(sha256(content));
    }
    expect(damaged.has(pointsOf(repository).at(-1)?.pointId ?? '')).toBe(false);
  });

  test('keeps the points sound that do not need a rotten block any more', async () => {
    const repository = temp.path('repo');
    const folder = (): string => vmFolderOf(repository);
    const [first, second] = ['one', 'two'].map((text) =>
      Buffer.concat([prose(text, BLOCK_BYTES), prose('same', BLOCK_BYTES)]),
    );
    const full = await backup(repository, writeImage(temp.path('a'), first ?? Buffer.alloc(0)));
    const next = await backup(repository, writeImage(temp.path('a'), second ?? Buffer.alloc(0)));
    const { places, stored } = await composeAll(folder());
    const old = places.find((place) => place.pointId === full.pointId && place.offsetBytes === 0);
    rot(
      folder(),
      [stored.get(old?.stored ?? '')].flatMap((block) => block ?? []),
      SEED,
    );

    const found = await verifyAll(repository);
    const third = await backup(repository, temp.path('a'));

    expect(damagedOf(found)).toEqual([full.pointId]);
    expect(found.damage).toMatchObject([
      { affectedPointIds: [full.pointId], healedFrom: next.pointId, healedFromNumber: 2 },
    ]);
    expect(messageCodes(third)).not.toContain('REPO-502');
    expect(third.healing).toEqual({ blockCount: 0, damagedPointIds: [full.pointId] });
    for (const point of [next.pointId, third.pointId]) {
      await expectRestored(repository, { a: second ?? Buffer.alloc(0) }, { point });
    }
    await expect(restore(repository, { point: full.pointId })).rejects.toMatchObject({
      code: expect.stringMatching(/^INTEGRITY_/) as string,
    });
  });

  test('stores a zero where a rotten block has become zero', async () => {
    const repository = temp.path('repo');
    const content = Buffer.concat([prose('one', BLOCK_BYTES), prose('two', BLOCK_BYTES)]);
    await backup(repository, writeImage(temp.path('a'), content));
    const { stored } = await composeAll(vmFolderOf(repository));
    rot(vmFolderOf(repository), stored.values(), SEED);
    await verifyAll(repository);
    content.fill(0, 0, BLOCK_BYTES);

    const healed = await backup(repository, writeImage(temp.path('a'), content));

    expect(healed.disks).toMatchObject([{ zeroBytes: BLOCK_BYTES, changedBytes: BLOCK_BYTES }]);
    expect(healed.healing).toMatchObject({ blockCount: 2 });
    await expectRestored(repository, { a: content });
  });

  test('stores anew what cannot be read where the medium is bad', async () => {
    const repository = temp.path('repo');
    const content = prose('three blocks', 3 * BLOCK_BYTES);
    await backup(repository, writeImage(temp.path('a'), content));
    const { stored } = await composeAll(vmFolderOf(repository));
    const bad = Math.max(...[...stored.values()].map(({ offsetBytes }) => offsetBytes));
    await using _medium = await failReadsAt(bad);

    const { damage } = await verifyAll(repository);
    const healed = await backup(repository, temp.path('a'));

    expect(damage).toMatchObject([{ code: 'REPOSITORY_IO', offsetBytes: bad, useCount: 1 }]);
    expect(healed.healing).toMatchObject({ blockCount: 1 });
    await expectRestored(repository, { a: content });
  });

  test('is not healed by a record of another file', async () => {
    const repository = temp.path('repo');
    await backup(repository, writeImage(temp.path('a'), prose('one', 2 * BLOCK_BYTES)));
    const { stored } = await composeAll(vmFolderOf(repository));
    rot(vmFolderOf(repository), stored.values(), SEED);
    await verifyAll(repository);
    // A restored copy is another file, so it is written again.
    rot(vmFolderOf(repository), stored.values(), SEED);

    const next = await backup(repository, temp.path('a'));

    expect(messageCodes(next)).not.toContain('REPO-502');
    await expectRestored(repository, { a: prose('one', 2 * BLOCK_BYTES) });
  });
});

describe('a chain of a VM', () => {
  const bench = useLab();
  const BLOCKS = 60;

  function edit(vm: ReturnType<typeof bench.lab.addVm>, random: Random, count: number): void {
    for (const disk of vm.disks) {
      for (let k = 0; k < count; k++) {
        const offsetBytes = random.below(BLOCKS) * BLOCK_BYTES;
        if (k % 5 === 4) disk.zero(offsetBytes, BLOCK_BYTES);
        else disk.write(offsetBytes, prose(`${disk.name} ${random.below(1 << 30)}`, BLOCK_BYTES));
      }
    }
  }

  test('with rotten blocks is named exactly, and healed in every mode', async () => {
    const { repository } = bench;
    const random = createRandom(SEED);
    const sizeBytes = BLOCKS * BLOCK_BYTES;
    const disks = [
      { name: 'cow', sizeBytes },
      { name: 'raw', sizeBytes, format: 'raw' },
    ] as const;
    const vm = bench.lab.addVm({ name: 'web01', disks });
    for (const disk of vm.disks) {
      for (let k = 0; k < BLOCKS; k++) {
        disk.write(k * BLOCK_BYTES, prose(`${disk.name} block ${k}`, BLOCK_BYTES));
      }
    }
    for (const edits of [0, 15, 15]) {
      edit(vm, random, edits);
      await bench.backup(vm);
    }
    const before = await composeAll(vmFolderOf(repository));
    const keys = rotSome(vmFolderOf(repository), before, FLIPS, SEED);

    expectFound(await verifyAll(repository), before, keys);
    edit(vm, random, 5);
    const session = await bench.backup(vm);

    expect(session.disks.map((disk) => disk.mode)).toEqual(['incremental', 'compare']);
    await expectHealed(repository, session, before, keys);
    const [cow, raw] = [vm.disk('cow').snapshot(), vm.disk('raw').snapshot()];
    await bench.expectRestored(vm, { cow, raw });
  });

  test('is read in no other place than where it is rotten', async () => {
    const vm = bench.lab.addVm({
      name: 'web01',
      disks: [{ name: 'cow', sizeBytes: 8 * BLOCK_BYTES + 512 }],
    });
    const disk = vm.disk('cow');
    disk.write(0, prose('a text of the guest', 6 * BLOCK_BYTES));
    disk.write(2 * BLOCK_BYTES, prose('another one', BLOCK_BYTES));
    disk.write(8 * BLOCK_BYTES, Buffer.alloc(512, 7));
    await bench.backup(vm);
    const folder = vmFolderOf(bench.repository);
    const { places, stored } = await composeAll(folder);
    const rotten = places.filter(({ offsetBytes }) => [2, 8].includes(offsetBytes / BLOCK_BYTES));
    rot(
      folder,
      rotten.flatMap((place) => stored.get(place.stored) ?? []),
      SEED,
    );
    await verifyAll(bench.repository);
    bench.lab.traffic.reset();

    const session = await bench.backup(vm);

    expect(session.disks).toMatchObject([{ mode: 'incremental', readBytes: BLOCK_BYTES + 512 }]);
    expect([...bench.lab.traffic.readBytes.values()]).toEqual([BLOCK_BYTES + 512]);
    expect(session.healing).toEqual({
      blockCount: 2,
      damagedPointIds: [pointsOf(bench.repository)[0]?.pointId],
    });
    await bench.expectRestored(vm, { cow: disk.snapshot() });
  });
});
