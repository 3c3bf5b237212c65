/** Lease files: which of them count, and how a server takes, renews and gives back its own. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ChainLock } from '../../../src/store/folder/chainLock.ts';
import {
  activeLeases,
  isLeased,
  type LeaseContent,
  sweepLeases,
} from '../../../src/repository/lease/leases.ts';
import { PointLease } from '../../../src/repository/lease/pointLease.ts';
import { describeProcess, type ProcessIdentity } from '../../../src/store/processIdentity.ts';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import { VmFolder } from '../../../src/repository/vmFolder.ts';
import { FaultyFiles } from '../../helpers/faults/faultyFiles.ts';
import { increment, restorePoint } from '../../helpers/repository/madeUp.ts';
import { modeOf } from '../../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';
import { DiskFolder } from '../../../src/store/folder/diskFolder.ts';

const temp = useTempFolder();
const MINUTE_MS = 60_000;
const VM_ID = '00000000-0000-4000-8000-000000000001';
const POINTS = [restorePoint({ fileName: 'p1.vbk' }), increment('p2', 'p1')];
const FILES = ['p1.vbk', 'p2.vib'];

let folder: VmFolder;
beforeEach(async () => {
  folder = new VmFolder(new DiskFolder(temp.path()), 'vm', VM_ID);
  for (const file of FILES) writeFileSync(temp.path(file), '');
  await folder.writeMetadata({ vm: { id: VM_ID, name: 'vm' }, points: POINTS });
});

function leaseNames(): string[] {
  return readdirSync(temp.path()).filter((name) => name.startsWith('lease.'));
}

/** A lease file of another process. @param ageMs - how long ago it was renewed. */
async function writeLease(
  process: Partial<ProcessIdentity>,
  ageMs = 0,
  nowMs = Date.now(),
): Promise<string> {
  const content: LeaseContent = {
    pointId: 'p2',
    files: FILES,
    since: '2026-11-30T10:00:00.000Z',
    process: { ...(await describeProcess()), ...process },
  };
  return writeText(JSON.stringify(content), ageMs, nowMs);
}

function writeText(text: string, ageMs: number, nowMs = Date.now()): string {
  const file = temp.path('lease.of-another.json');
  writeFileSync(file, text);
  const renewedAt = new Date(nowMs - ageMs);
  utimesSync(file, renewedAt, renewedAt);
  return file;
}

function deadPid(): number {
  return spawnSync(process.execPath, ['--version']).pid;
}

/** Sweeps as the holder of the lock. @returns the leases that count. */
async function sweep(): Promise<number> {
  await using _lock = await ChainLock.acquire(temp.path());
  return (await sweepLeases(new DiskFolder(temp.path()))).length;
}

describe('a lease', () => {
  test.each<[string, Partial<ProcessIdentity>, number, boolean]>([
    ['of this process counts, however old', {}, 600, true],
    ['of another host counts when it was just renewed', { host: 'nas2' }, 14, true],
    ['of another host ends after 15 minutes', { host: 'nas2' }, 16, false],
    ['of another host counts when its time is ahead', { host: 'nas2' }, -600, true],
    ['of another container counts as well', { pidNamespace: 'pid:[1]' }, 14, true],
    ['of another container ends as well', { pidNamespace: 'pid:[1]' }, 16, false],
    ['of a process about which nothing is known counts', { bootId: '' }, 14, true],
    ['of a process about which nothing is known ends', { bootId: '' }, 16, false],
  ])('%s', async (_what, holder, ageMinutes, counts) => {
    const file = await writeLease(holder, ageMinutes * MINUTE_MS);

    expect(await activeLeases(new DiskFolder(temp.path()), Date.now())).toHaveLength(
      counts ? 1 : 0,
    );
    expect(existsSync(file)).toBe(true);
    expect(await sweep()).toBe(counts ? 1 : 0);
    expect(existsSync(file)).toBe(counts);
  });

  test('of a process of this machine that has ended is over at once', async () => {
    const file = await writeLease({ pid: deadPid() });

    expect(await sweep()).toBe(0);
    expect(existsSync(file)).toBe(false);
  });

  test('is judged by the clock of the file server', async () => {
    // The clock of this host is a day ahead: by it the lease was renewed a day ago.
    await writeLease({ host: 'nas2' }, 5 * MINUTE_MS);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 24 * 60 * MINUTE_MS });
    try {
      expect(await sweep()).toBe(1);
    } finally {
      vi.useRealTimers();
    }
  });

  test('is judged without a lock only by its process', async () => {
    await writeLease({ host: 'nas2' }, 600 * MINUTE_MS);
    expect(await sweepLeases(new DiskFolder(temp.path()))).toHaveLength(1);
  });

  test.each([
    ['nothing', ''],
    ['half a lease', '{"pointId":"p2","files":["p1.'],
    ['another object', '{}'],
    ['a list', '[]'],
    ['no files', '{"pointId":"p2","files":[],"since":"","process":{}}'],
    ['a path out of the folder', '{"pointId":"p2","files":["../x.vbk"]}'],
    ['bytes that are no text', '\u0000\u0001'],
  ])('with %s protects every file, and ends after 15 minutes', async (_what, text) => {
    writeText(text, 14 * MINUTE_MS);

    const [lease] = await activeLeases(new DiskFolder(temp.path()), Date.now());

    expect(lease).toMatchObject({ content: undefined });
    expect(lease?.reason).not.toBe('');
    expect(lease && isLeased(lease, 'any.vbk')).toBe(true);
    expect(await sweep()).toBe(1);
    const file = writeText(text, 16 * MINUTE_MS);
    expect(await sweep()).toBe(0);
    expect(existsSync(file)).toBe(false);
  });

  test('that is a folder, or that this user may not read, protects every file', async () => {
    temp.make('lease.folder.json');
    const files = await FaultyFiles.install(temp.path());
    try {
      await writeLease({});
      files.failWhere((name, file) =>
        name === 'open' && file.endsWith('another.json') ? 'EACCES' : undefined,
      );
      const leases = await activeLeases(new DiskFolder(temp.path()), Date.now());
      expect(leases.map(({ reason }) => reason).toSorted()).toEqual(['EACCES', 'EISDIR']);
    } finally {
      files.uninstall();
    }
  });

  test('that vanishes while it is looked at does not count', async () => {
    const file = await writeLease({ host: 'nas2' });
    const files = await FaultyFiles.install(temp.path());
    files.watch((name) => {
      if (name === 'stat') rmSync(file, { force: true });
    });
    try {
      expect(await activeLeases(new DiskFolder(temp.path()), Date.now())).toEqual([]);
    } finally {
      files.uninstall();
    }
  });
});

interface Taken {
  readonly lease: PointLease;
  readonly codes: string[];
}

async function take(files: readonly string[] = FILES): Promise<Taken> {
  const codes: string[] = [];
  const point = POINTS[1] as RestorePoint;
  const onMessage = ({ code }: { readonly code: string }): number => codes.push(code);
  return { lease: await PointLease.take({ folder, point, files, onMessage }), codes };
}

/** Runs `work` while operations on lease files fail. */
async function withFault<T>(
  errno: string,
  isConcerned: (name: string) => boolean,
  work: () => Promise<T>,
): Promise<T> {
  const files = await FaultyFiles.install(temp.path());
  files.failWhere((name, file) =>
    path.basename(file).startsWith('lease.') && isConcerned(name) ? errno : undefined,
  );
  try {
    return await work();
  } finally {
    files.uninstall();
  }
}

describe('a server', () => {
  test('takes a lease that names point, files and process, and deletes it at its end', async () => {
    const { lease, codes } = await take();
    const [name = ''] = leaseNames();

    expect(JSON.parse(readFileSync(temp.path(name), 'utf8'))).toEqual({
      pointId: 'p2',
      files: FILES,
      since: expect.any(String),
      process: JSON.parse(JSON.stringify(await describeProcess())) as unknown,
    });
    expect(modeOf(temp.path(name))).toBe('600');
    await lease.release();
    await lease.release();
    expect(leaseNames()).toEqual([]);
    expect(codes).toEqual([]);
  });

  test('has a lease of its own beside those of others', async () => {
    const [first, second] = [await take(), await take()];
    expect(await sweep()).toBe(2);
    await first.lease.release();
    expect(await sweep()).toBe(1);
    await second.lease.release();
    expect(leaseNames()).toEqual([]);
  });

  test.each([
    ['was merged', [restorePoint({ pointId: 'p2', fileName: 'merged.vbk' })]],
    ['builds on another file', [restorePoint({ fileName: 'new.vbk' }), POINTS[1]]],
    ['was deleted', [POINTS[0]]],
  ])('of a point that %s does not start', async (_what, points) => {
    const vm = { id: VM_ID, name: 'vm' };
    await folder.writeMetadata({ vm, points: points as RestorePoint[] });

    await expect(take()).rejects.toMatchObject({ code: 'CHAIN_CHANGED', retryable: true });
    expect(leaseNames()).toEqual([]);
  });

  test.each(['EROFS', 'EACCES', 'EPERM', 'ENOSPC'])(
    'serves without a lease after %s, and says so once',
    async (errno) => {
      await withFault(
        errno,
        (name) => name === 'open',
        async () => {
          const { lease, codes } = await take();
          await lease.renew();
          await lease.release();
          expect(codes).toEqual(['REPO-518']);
        },
      );
      expect(leaseNames()).toEqual([]);
    },
  );

  test('does not start when the lease fails for another reason', async () => {
    await withFault(
      'EIO',
      (name) => name === 'open',
      async () => {
        await expect(take()).rejects.toMatchObject({ code: 'REPOSITORY_IO' });
      },
    );
    expect(leaseNames()).toEqual([]);
  });

  test('renews its lease with the time of the file server', async () => {
    const { lease, codes } = await take();
    const file = temp.path(leaseNames()[0] ?? '');
    const before = readFileSync(file, 'utf8');
    utimesSync(file, new Date(0), new Date(0));
    vi.useFakeTimers({ toFake: ['Date'], now: 1000 });
    await lease.renew().finally(() => vi.useRealTimers());

    expect(statSync(file).mtimeMs).toBeGreaterThan(Date.parse('2026-01-01'));
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(codes).toEqual([]);
    await lease.release();
  });

  test('renews its lease every minute until its end', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      const { lease } = await take();
      const file = temp.path(leaseNames()[0] ?? '');
      rmSync(file);
      await vi.advanceTimersByTimeAsync(MINUTE_MS);
      await vi.waitFor(() => expect(existsSync(file)).toBe(true));
      await lease.release();
      expect(vi.getTimerCount()).toBe(0);
      await vi.advanceTimersByTimeAsync(10 * MINUTE_MS);
      expect(existsSync(file)).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  test('makes a lease again that vanished', async () => {
    const { lease, codes } = await take();
    rmSync(temp.path(leaseNames()[0] ?? ''));

    await lease.renew();

    expect(await sweep()).toBe(1);
    expect(codes).toEqual([]);
    await lease.release();
    expect(leaseNames()).toEqual([]);
  });

  test('says once that files of its point are gone', async () => {
    const { lease, codes } = await take();
    rmSync(temp.path(leaseNames()[0] ?? ''));
    rmSync(temp.path('p1.vbk'));

    await lease.renew();
    await lease.renew();

    expect(codes).toEqual(['REPO-520']);
    await lease.release();
  });

  test('says once that a renewal fails, and renews again later', async () => {
    const { lease, codes } = await take();
    const file = temp.path(leaseNames()[0] ?? '');
    utimesSync(file, new Date(0), new Date(0));
    await withFault(
      'EIO',
      () => true,
      async () => {
        await lease.renew();
        await lease.renew();
      },
    );

    expect(codes).toEqual(['REPO-519']);
    await lease.renew();
    expect(statSync(file).mtimeMs).toBeGreaterThan(0);
    await lease.release();
  });

  test('that ends during a renewal leaves no lease', async () => {
    const { lease } = await take();
    rmSync(temp.path(leaseNames()[0] ?? ''));

    const renewal = lease.renew();
    await Promise.all([lease.release(), renewal]);

    expect(leaseNames()).toEqual([]);
    await lease.renew();
    expect(leaseNames()).toEqual([]);
  });

  test('takes its lease though a session deletes unfinished files at that moment', async () => {
    const files = await FaultyFiles.install(temp.path());
    let count = 0;
    files.watch(async (name) => {
      if (name === 'rename' && count++ === 0) await folder.removeLeftovers();
    });
    try {
      const { lease } = await take();
      expect(leaseNames()).toHaveLength(1);
      await lease.release();
    } finally {
      files.uninstall();
    }
  });
});
