/** Points in a bucket with Object Lock: what is locked, for how long, and what a prune leaves. */
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { copyPoints } from '../../../src/sessions/copy/copyPoints.ts';
import { rescanRepository } from '../../../src/sessions/cleanup/rescanRepository.ts';
import { type ListedPoint, listRepository } from '../../../src/sessions/inspect/listRepository.ts';
import type { PrunedVm } from '../../../src/sessions/retention/pruneReport.ts';
import { pruneRepository } from '../../../src/sessions/retention/pruneRepository.ts';
import type { VmPruneOptions } from '../../../src/sessions/retention/pruneVm.ts';
import { synthesizeFull } from '../../../src/sessions/retention/synthesizeFull.ts';
import { verifyRepository } from '../../../src/sessions/verify/verifyRepository.ts';
import { preflightVm } from '../../../src/sessions/backup/vm/preflightVm.ts';
import { blocks, BLOCK_BYTES } from '../../helpers/bytes/images.ts';
import { runCli } from '../../helpers/cli/cli.ts';
import { expectCode, messageCodes } from '../../helpers/codes.ts';
import { type TestPlace, useLab } from '../../helpers/lab/useLab.ts';
import { VM } from '../../helpers/repository/imageSessions.ts';
import { lockEndOf, replaceObject } from '../../helpers/s3/client.ts';
import { ImageChain } from '../../helpers/s3/imageChain.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

const temp = useTempFolder();
const s3 = useS3({ bucket: { objectLock: true } });
let chain: ImageChain;

function chainFor(periodMs: number): ImageChain {
  const store = { immutable: { periodMs, mode: 'governance' } } as const;
  return new ImageChain({ repository: s3.repository, store }, temp.path());
}

/** A repository whose points are locked for a month. */
function monthPlace(): TestPlace {
  return chainFor(30 * DAY_MS).place;
}

async function points(): Promise<readonly ListedPoint[]> {
  const { vms } = await listRepository({ repository: s3.repository });
  return vms.flatMap((vm) => vm.points);
}

async function keyOf({ fileName }: ListedPoint): Promise<string> {
  const key = (await s3.keys()).find((one) => one.endsWith(`/${fileName}`));
  return `backups/site/${key}`;
}

/** End of the lock of each point as the server has it, oldest point first. */
async function realLocks(): Promise<number[]> {
  const ends: number[] = [];
  for (const point of await points()) {
    ends.push(await lockEndOf(s3.server.client, s3.bucket, await keyOf(point)));
  }
  return ends;
}

async function recordedLocks(): Promise<number[]> {
  return (await points()).map(({ lockedUntil = '' }) => Date.parse(lockedUntil));
}

/** Recorded locks of a repository, oldest point first. */
async function locksAt(repository: string): Promise<(string | undefined)[]> {
  const { vms } = await listRepository({ repository });
  return vms.flatMap((vm) => vm.points.map(({ lockedUntil }) => lockedUntil));
}

async function prune(
  { place }: ImageChain,
  options: Partial<VmPruneOptions> = {},
): Promise<PrunedVm> {
  const report = await pruneRepository({ ...place, keep: { last: 1 }, workers: 0, ...options });
  const [vm] = report.vms;
  if (!vm) return expect.unreachable('the repository has no VM');
  expect(vm.failure).toBeUndefined();
  return vm;
}

describe('a chain of three points that are locked for a day', () => {
  beforeEach(async () => {
    chain = chainFor(DAY_MS);
    for (const letters of ['Aa0', 'Ba0', 'BCx']) await chain.session(blocks(letters));
  });

  it('is locked as a whole until the end of the newest lock', async () => {
    const [newest] = (await points()).slice(-1);
    const end = Date.parse(newest?.lockedUntil ?? '');

    // The clock of a server that answers shows whole seconds.
    expect(end + 1000).toBeGreaterThan(Date.parse(newest?.createdAt ?? '') + DAY_MS);
    expect(await recordedLocks()).toEqual([end, end, end]);
    expect(await realLocks()).toEqual([end, end, end]);
    await chain.check();
    expect(await verifyRepository({ ...chain.place, point: 'all', workers: 0 })).toMatchObject({
      outcome: 'ok',
      messages: [],
    });
  });

  it('is left as it is by a prune and by its dry run, with a message', async () => {
    const before = await points();

    for (const dryRun of [true, false]) {
      const { points: pruned, messages } = await prune(chain, { dryRun });

      expect(messages).toMatchObject([
        { code: 'REPO-550', text: expect.stringContaining(before[2]?.lockedUntil ?? 'no lock') },
      ]);
      expect(pruned.map(({ action }) => action)).toEqual(['keep', 'keep', 'keep']);
      expect(pruned[0]?.keptBecause).toEqual(['locked']);
    }
    expect(await points()).toEqual(before);
    await chain.check();
  });

  it('is left as it is by a prune that does not lock anything itself', async () => {
    const { messages } = await prune(chain.at({ repository: s3.repository }));

    expect(messages).toMatchObject([{ code: 'REPO-550' }]);
    await chain.check();
  });

  it('is locked for as long as a rule of a prune keeps it', async () => {
    const within = { years: 2, months: 0, days: 0, hours: 0 };
    await prune(chain, { keep: { within } });

    const newest = new Date((await points()).at(-1)?.createdAt ?? '');
    const end = newest.setUTCFullYear(newest.getUTCFullYear() + 2);
    expect(await recordedLocks()).toEqual([end, end, end]);
    for (const real of await realLocks()) expect(real).toBeGreaterThanOrEqual(end);
  });

  it('gets a synthetic full; the locked file that it replaces is told once', async () => {
    const { messages } = await synthesizeFull({ ...chain.place, vm: VM, workers: 0 });
    const next = await chain.session(blocks('BCy'));

    expect(messages).toMatchObject([{ code: 'REPO-512', text: expect.stringContaining('LOCKED') }]);
    expect(next.messages).toEqual([]);
    const containers = (await s3.keys()).filter((key) => /\.v[bi][bk]$/.test(key));
    expect(containers).toHaveLength(5);
    await chain.check();
  });

  it('has its locks again after a rescan', async () => {
    const before = await recordedLocks();

    await rescanRepository({ repository: s3.repository });

    expect(await recordedLocks()).toEqual(before);
  });

  it('is told by verify when a file has lost its lock', async () => {
    const [first] = await points();
    if (!first) return expect.unreachable('no point');
    await replaceObject(s3.server.client, s3.bucket, await keyOf(first));

    const args = ['verify', '--repo', s3.repository, '--point', 'all', '--workers', '0'];
    const { exitCode, stdout, stderr } = await runCli([...args, '--json']);

    expect(exitCode, stderr).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      outcome: 'ok',
      damage: [],
      messages: [{ code: 'REPO-551', text: expect.stringContaining(first.fileName) }],
    });
  });

  it('shows its locks in the table of list', async () => {
    const { stdout } = await runCli(['list', '--repo', s3.repository]);

    expect(stdout).toContain('locked until');
  });

  it('is locked at the target of a copy, and not where nothing is locked', async () => {
    const locked = chain.at({ ...chain.place, repository: s3.repositoryAt('copy') });
    const open = chain.at({ repository: temp.path('folder') });
    const from = { from: s3.repository, workers: 0 };
    await copyPoints({ ...from, to: locked.place.repository, toStore: locked.place.store });
    await copyPoints({ ...from, to: open.place.repository });

    await locked.check();
    await open.check();
    const there = await locksAt(locked.place.repository);
    expect(there).toEqual([there[2], there[2], there[2]]);
    expect(Date.parse(there[2] ?? '')).toBeGreaterThan(Date.now());
    expect(await locksAt(open.place.repository)).toEqual([undefined, undefined, undefined]);
  });
});

it('lets a prune merge and delete points when their locks have ended', async () => {
  chain = chainFor(1000);
  for (const letters of ['Aa0', 'Ba0', 'BCx']) await chain.session(blocks(letters));
  const [end = 0] = await recordedLocks();
  await sleep(Math.max(0, end - Date.now()) + 100);

  const pruned = await prune(chain);

  expect(messageCodes(pruned)).toEqual([]);
  expect(pruned.points.map(({ action }) => action)).toEqual(['merge', 'merge', 'keep']);
  await chain.check(chain.knownIds.slice(-1));
  const [merged, ...others] = await points();
  expect(others).toEqual([]);
  expect(Date.parse(merged?.lockedUntil ?? '')).toBeGreaterThan(end);
  await s3.expectNoStrays();
});

describe('preflight', () => {
  const bench = useLab({}, monthPlace);

  it('tells for how long a point and its chain would be locked', async () => {
    const disks = [{ name: 'sys', sizeBytes: BLOCK_BYTES }];
    const vm = bench.lab.addVm({ name: 'web01', compatibility: [4, 7], disks });
    await bench.backup(vm);

    const report = await preflightVm({ ...monthPlace(), engine: bench.settings(), vm: vm.id });

    expect(report.messages).toMatchObject([
      { code: 'REPO-552', text: expect.stringMatching(/30 days \(governance mode\).*: 1\.$/) },
    ]);
  });

  it('refuses a bucket without Object Lock', async () => {
    const vm = bench.lab.addVm({ name: 'web01', disks: [] });
    await s3.server.createBucket('open');
    const there = { ...monthPlace(), repository: 's3://open/site' };

    const work = preflightVm({ ...there, engine: bench.settings(), vm: vm.id });

    await expectCode(work, 'REPOSITORY_UNSUPPORTED');
  });
});
