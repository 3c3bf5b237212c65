/** Locks of restore points: their record, and what is locked before a point is published. */
import { describe, expect, test } from 'vitest';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import {
  coverChain,
  extendLocks,
  raiseLocks,
  withLock,
} from '../../../src/repository/pointLocks.ts';
import { type ChainMetadata, decodeVbm, encodeVbm } from '../../../src/repository/pointXml.ts';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import { replacePoints } from '../../../src/repository/retention/obsoleteFiles.ts';
import { VmFolder } from '../../../src/repository/vmFolder.ts';
import { PointWriter } from '../../../src/sessions/shared/pointWriter.ts';
import { checkLocks } from '../../../src/sessions/verify/checkLocks.ts';
import { expectCode } from '../../helpers/codes.ts';
import { increment, restorePoint } from '../../helpers/repository/madeUp.ts';
import {
  type MemoryFolder,
  type MemoryLocks,
  MemoryStore,
} from '../../helpers/repository/memoryStore.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const VM = { id: '11111111-1111-4111-8111-111111111111', name: 'vm' };
const EARLY = '2027-01-01T00:00:00.000Z';
const LATE = '2028-01-01T00:00:00.000Z';

function chainOf(...points: readonly RestorePoint[]): ChainMetadata {
  return { vm: VM, points };
}

function locksOf({ points }: ChainMetadata): (string | undefined)[] {
  return points.map(({ lockedUntil }) => lockedUntil);
}

test('the chain metadata keeps the time of a lock', () => {
  const metadata = chainOf(restorePoint({ lockedUntil: EARLY }), increment('p2', 'p1'));

  expect(locksOf(decodeVbm(encodeVbm(metadata), 'test'))).toEqual([EARLY, undefined]);
});

test('a point covers those on which it builds, and no others', () => {
  const newest = { ...increment('c', 'b'), lockedUntil: LATE };
  const metadata = chainOf(
    restorePoint({ pointId: 'a', lockedUntil: EARLY }),
    increment('b', 'a'),
    increment('beside', 'a'),
    newest,
  );

  expect(locksOf(coverChain(metadata, newest))).toEqual([LATE, LATE, undefined, LATE]);
  expect(locksOf(raiseLocks(metadata, new Map([['c', Date.parse(EARLY)]])))).toEqual([
    EARLY,
    undefined,
    undefined,
    LATE,
  ]);
});

/** Publishes a point without disks. @returns the metadata with it. */
async function add(
  folder: VmFolder,
  metadata: ChainMetadata,
  point: RestorePoint,
): Promise<ChainMetadata> {
  await using lock = await folder.place.lock();
  await using writer = await PointWriter.create(folder, point.fileName, point.blockSizeBytes);
  const parent = metadata.points.at(-1);
  await writer.publish(VM, { ...point, disks: [] }, [], { metadata, parent, lock });
  return await folder.requireMetadata();
}

describe('a folder whose files are locked', () => {
  const immutability = { periodMs: DAY_MS, mode: 'governance' } as const;

  function lockedFolder(): { place: MemoryFolder; locks: MemoryLocks; folder: VmFolder } {
    const place = new MemoryStore({ canReadBack: false, immutability }).folder('vm');
    if (!place.locks) return expect.unreachable('the folder has no locks');
    return { place, locks: place.locks, folder: new VmFolder(place, 'vm', VM.id) };
  }

  test('locks the chain before a point is published, and records it', async () => {
    const { place, locks, folder } = lockedFolder();
    const a = restorePoint({ pointId: 'a', fileName: 'a.vbk' });
    const { points: before } = await add(folder, chainOf(), a);
    const soonMs = Date.now() + 1000;
    locks.untilMs.set('a.vbk', soonMs);
    const short = before.map((point) => withLock(point, soonMs));
    const namesThen: string[][] = [];
    const extend = locks.extend.bind(locks);
    locks.extend = async (names, untilMs) => {
      namesThen.push(await place.containerNames());
      await extend(names, untilMs);
    };

    const { points } = await add(folder, chainOf(...short), increment('b', 'a'));

    expect(namesThen).toEqual([['a.vbk']]);
    const untilMs = locks.untilMs.get('b.vib') ?? Number.NaN;
    expect(untilMs).toBeGreaterThan(soonMs);
    expect(locks.extended).toEqual([{ fileNames: ['a.vbk'], untilMs }]);
    const lockedUntil = new Date(untilMs).toISOString();
    expect(points).toMatchObject([{ lockedUntil }, { lockedUntil }]);
    expect(points).toHaveLength(2);
  });

  test('finds the locks again when the chain metadata is rebuilt', async () => {
    const { folder } = lockedFolder();
    const written = await add(folder, chainOf(), restorePoint({ pointId: 'a', fileName: 'a.vbk' }));

    const { metadata } = await folder.scan(await createBlockCodecs(), new Set());

    expect(locksOf(metadata)).toEqual(locksOf(written));
  });

  test('keeps a locked file as obsolete, and says so', async () => {
    const { place, folder } = lockedFolder();
    const metadata = await add(
      folder,
      chainOf(),
      restorePoint({ pointId: 'a', fileName: 'a.vbk' }),
    );
    await using lock = await place.lock();

    const cleared = await replacePoints(folder, metadata, lock, { removed: metadata.points });

    expect(cleared.messages).toMatchObject([
      { code: 'REPO-512', text: expect.stringContaining('LOCKED') },
    ]);
    expect(cleared.metadata).toMatchObject({ points: [], obsoleteFiles: ['a.vbk'] });
    expect(await place.containerNames()).toEqual(['a.vbk']);
  });

  test.each([
    ['missing', undefined, ['REPO-551']],
    ['too short', Date.parse(EARLY), ['REPO-551']],
    ['as recorded', Date.parse(LATE), []],
    ['longer', Date.parse(LATE) + 1, []],
  ])('verify judges a lock that is %s', async (_what, realMs, codes) => {
    const { place, locks } = lockedFolder();
    if (realMs !== undefined) locks.untilMs.set('vm.vbk', realMs);
    const point = restorePoint({ lockedUntil: LATE });

    const messages = await checkLocks(place, 'vm', [point], new Date('2026-11-26T12:00:00Z'));

    expect(messages.map(({ code }) => code)).toEqual(codes);
  });

  test('verify asks for no lock that has ended', async () => {
    const { place } = lockedFolder();

    const now = new Date('2029-01-01T00:00:00Z');

    expect(await checkLocks(place, 'vm', [restorePoint({ lockedUntil: LATE })], now)).toEqual([]);
  });
});

test('a folder that cannot lock files refuses longer locks', async () => {
  const before = chainOf(restorePoint());
  const after = chainOf(restorePoint({ lockedUntil: LATE }));
  const place = new MemoryStore().folder('vm');

  await extendLocks(place, before, before);
  await expectCode(extendLocks(place, before, after), 'REPOSITORY_UNSUPPORTED');
});
