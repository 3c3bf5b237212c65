/**
 * Merges of chains that our own sessions never write: a block survives a cut of its disk although
 * the next increment does not record it. The composed view of a point allows that.
 */
import { describe, expect, test } from 'vitest';
import { createContainerSink, type DiskContent } from '../../src/container/write/containerSink.ts';
import { createStageStats } from '../../src/core/stats.ts';
import { createBlockCodecs } from '../../src/compute/blockCodecs.ts';
import { FingerprintMap } from '../../src/flow/fingerprintMap.ts';
import { ChainLock } from '../../src/store/folder/chainLock.ts';
import type { DiskPoint, RestorePoint } from '../../src/repository/restorePoint.ts';
import { Repository } from '../../src/repository/repository.ts';
import type { VmFolder } from '../../src/repository/vmFolder.ts';
import { PointWriter } from '../../src/sessions/shared/pointWriter.ts';
import { pruneRepository } from '../../src/sessions/retention/pruneRepository.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { noise, prose } from '../helpers/bytes/random.ts';
import { diskPoint, restorePoint } from '../helpers/repository/madeUp.ts';
import { prune } from '../helpers/repository/prunes.ts';
import { expectRestored, VM } from '../helpers/repository/imageSessions.ts';
import { pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';
import { createPacker } from '../helpers/bytes/smallContainers.ts';

const temp = useTempFolder();
const DISK_ID = 'aaaaaaaa-0000-4000-8000-000000000001';
const VM_ID = 'bbbbbbbb-0000-4000-8000-000000000001';
const HALF = BLOCK_BYTES / 2;

/** Blocks of a disk that a container records, by index. */
interface Written {
  readonly content: Buffer;
  readonly recorded: readonly number[];
}

async function fingerprintsOf(content: Buffer): Promise<FingerprintMap> {
  const codecs = await createBlockCodecs();
  const map = new FingerprintMap();
  for (let at = 0; at < content.length; at += BLOCK_BYTES) {
    const plain = content.subarray(at, at + BLOCK_BYTES);
    if (plain.some((byte) => byte !== 0)) map.set(at / BLOCK_BYTES, codecs.fingerprint(plain));
  }
  return map;
}

async function contentOf(
  target: PointWriter,
  { content, recorded }: Written,
  isIncrement: boolean,
): Promise<DiskContent> {
  const packer = await createPacker(BLOCK_BYTES);
  const task = {
    diskId: DISK_ID,
    alias: 'a',
    virtualSizeBytes: content.length,
    blockSizeBytes: BLOCK_BYTES,
    mode: 'full',
  } as const;
  const fingerprints = await fingerprintsOf(content);
  const stats = createStageStats();
  const sink = createContainerSink({
    task,
    writer: target.writer,
    isIncrement,
    fingerprints,
    stats,
  });
  for (const index of recorded) {
    const plain = content.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
    const block = await packer.pack(index, plain);
    await new Promise<void>((resolve, reject) => {
      sink.write(block, (error) => (error ? reject(error) : resolve()));
    });
  }
  await new Promise<void>((resolve) => sink.end(resolve));
  return sink.content;
}

/** Writes a chain of one disk `a`, one point for each step. */
async function writeChain(repositoryPath: string, steps: readonly Written[]): Promise<void> {
  const repository = await Repository.openOrCreate(repositoryPath);
  const folder: VmFolder = await repository.createVm({ id: VM_ID, name: VM });
  await using lock = await ChainLock.acquire(folder.folder);
  let metadata: { vm: { id: string; name: string }; points: readonly RestorePoint[] } = {
    vm: { id: VM_ID, name: VM },
    points: [],
  };
  for (const [k, step] of steps.entries()) {
    const parent = metadata.points.at(-1);
    const point = pointOf(k, step, parent);
    await using target = await PointWriter.create(folder, point.fileName, BLOCK_BYTES);
    const content = await contentOf(target, step, parent !== undefined);
    const published = await target.publish(metadata.vm, point, [content], {
      metadata,
      parent,
      lock,
    });
    metadata = { ...metadata, points: [...metadata.points, published] };
  }
}

function pointOf(k: number, { content }: Written, parent: RestorePoint | undefined): RestorePoint {
  const type = parent ? 'increment' : 'full';
  const disk: DiskPoint = diskPoint({
    diskId: DISK_ID,
    alias: 'a',
    sizeBytes: content.length,
    content: type,
  });
  return restorePoint({
    pointId: `point-${k}`,
    number: k + 1,
    type,
    parentPointId: parent?.pointId ?? '',
    fileName: `${VM}.${k}.${parent ? 'vib' : 'vbk'}`,
    blockSizeBytes: BLOCK_BYTES,
    disks: [disk],
  });
}

/** The first `lengthBytes` of `content` after a cut to `keptBytes` and zeros up to the length. */
function cut(content: Buffer, keptBytes: number, lengthBytes: number): Buffer {
  const after = Buffer.alloc(lengthBytes);
  content.copy(after, 0, 0, keptBytes);
  return after;
}

describe.each([
  ['noise', noise(1, 3 * BLOCK_BYTES)],
  ['text', prose(1, 3 * BLOCK_BYTES)],
])('a block of %s that does not fill its place', (_what, first) => {
  test.each([
    ['shorter', BLOCK_BYTES + HALF],
    ['longer again', 2 * BLOCK_BYTES],
    ['longer again, with more blocks behind', 3 * BLOCK_BYTES - 1],
  ])('is made anew in a full where its disk became %s', async (_how, lengthBytes) => {
    const repository = temp.path('repo');
    const short = cut(first, BLOCK_BYTES + HALF, BLOCK_BYTES + HALF);
    const last = cut(first, BLOCK_BYTES + HALF, lengthBytes);
    await writeChain(repository, [
      { content: first, recorded: [0, 1, 2] },
      { content: short, recorded: [] },
      { content: last, recorded: [] },
    ]);
    await expectRestored(repository, { a: last });

    await prune(repository, { last: 1 });

    expect(pointsOf(repository)).toMatchObject([{ type: 'full', pointId: 'point-2' }]);
    await expectRestored(repository, { a: last });
  });

  test('is made anew in an increment', async () => {
    const repository = temp.path('repo');
    const base = noise('base', 3 * BLOCK_BYTES);
    const last = cut(first, BLOCK_BYTES + HALF, 3 * BLOCK_BYTES);
    await writeChain(repository, [
      { content: base, recorded: [0, 1, 2] },
      { content: first, recorded: [0, 1, 2] },
      { content: cut(first, BLOCK_BYTES + HALF, BLOCK_BYTES + HALF), recorded: [] },
      { content: last, recorded: [] },
    ]);
    await expectRestored(repository, { a: last });
    await keepFirstAndLast(repository);

    await prune(repository, { yearly: 2 });

    expect(pointsOf(repository).map((point) => point.pointId)).toEqual(['point-0', 'point-3']);
    await expectRestored(repository, { a: last });
    await expectRestored(repository, { a: base }, { point: 'point-0' });
  });
});

/** Gives the first and the last point years of their own. */
async function keepFirstAndLast(repository: string): Promise<void> {
  const folder = await (await Repository.open(repository)).requireVm(VM);
  const metadata = await folder.requireMetadata();
  const points = metadata.points.map((point, k) => ({
    ...point,
    createdAt: `${k === 0 ? 2001 : 2002}-01-01T00:00:0${k}.000Z`,
  }));
  await folder.writeMetadata({ ...metadata, points });
}

test('a block of the point before the run that was cut within it, and is recorded nowhere, keeps the run as it is', async () => {
  const repository = temp.path('repo');
  const base = noise('base', 2 * BLOCK_BYTES);
  const last = cut(base, HALF, 2 * BLOCK_BYTES);
  await writeChain(repository, [
    { content: base, recorded: [0, 1] },
    { content: cut(base, HALF, HALF), recorded: [] },
    { content: last, recorded: [] },
  ]);
  await keepFirstAndLast(repository);

  const { vms } = await pruneRepository({ repository, keep: { yearly: 2 }, workers: 0 });

  expect(vms[0]?.failure?.code).toBe('INTEGRITY_FINGERPRINT_MISMATCH');
  expect(pointsOf(repository)).toHaveLength(3);
  await expectRestored(repository, { a: last });
});
