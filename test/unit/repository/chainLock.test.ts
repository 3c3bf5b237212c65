import { spawnSync } from 'node:child_process';
import fs, {
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { hostname } from 'node:os';
import { describe, expect, test } from 'vitest';
import type { RepositoryError } from '../../../src/core/errors.ts';
import { ChainLock, type LockHolder } from '../../../src/store/folder/chainLock.ts';
import { DiskFolder } from '../../../src/store/folder/diskFolder.ts';
import { describeProcess, stateHere } from '../../../src/store/processIdentity.ts';
import { NO_LINK_ERRNOS, withoutLinks } from '../../helpers/faults/noLinks.ts';
import { modeOf } from '../../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
const LOCKED = { code: 'REPOSITORY_LOCKED' };
/** As locks of earlier versions, and of overlays. */
const FOR_LIFE = { leaseMs: undefined, token: undefined };

function readLock(): LockHolder {
  return JSON.parse(readFileSync(temp.path('lock'), 'utf8')) as LockHolder;
}

/** The text of a lock as this process would write it, with some fields replaced. */
async function writeLock(facts: Partial<LockHolder>): Promise<LockHolder> {
  const own = await ChainLock.acquire(temp.path());
  const holder = { ...readLock(), id: 'of-another-session', ...facts };
  await own.release();
  writeFileSync(temp.path('lock'), JSON.stringify(holder));
  return holder;
}

async function writeLockAgain(facts: Partial<LockHolder>): Promise<void> {
  rmSync(temp.path('lock'));
  await writeLock(facts);
}

function deadPid(): number {
  return spawnSync(process.execPath, ['--version']).pid;
}

async function expectTakenOver(): Promise<void> {
  await using lock = await ChainLock.acquire(temp.path());

  await expect(lock.assertHeld()).resolves.toBeUndefined();
  expect(readLock().pid).toBe(process.pid);
  expect(readdirSync(temp.path())).toEqual(['lock']);
}

/** In containers and without a machine id no lock is known to come from before a restart. */
async function canProveRestart(): Promise<boolean> {
  const self = await describeProcess();
  const state = await stateHere({ ...self, bootId: 'another boot' });
  if (state !== 'gone') console.warn('skipped: this machine cannot prove that it was restarted');
  return state === 'gone';
}

const PROVES_RESTART = await canProveRestart();

/** A lock that is refused and not changed. Its error names the holder and has this hint. */
async function expectRefused(hint: RegExp): Promise<void> {
  const before = readFileSync(temp.path('lock'), 'utf8');

  const attempt = ChainLock.acquire(temp.path());

  await expect(attempt).rejects.toMatchObject({ ...LOCKED, hint: expect.stringMatching(hint) });
  expect(readFileSync(temp.path('lock'), 'utf8')).toBe(before);
}

describe('a lock', () => {
  test('is not taken over by a session of this process while it is released', async () => {
    const lock = await ChainLock.acquire(temp.path());
    const { rm } = fs.promises;
    let answer = '';
    fs.promises.rm = async (...args) => {
      fs.promises.rm = rm;
      syncBuiltinESMExports();
      answer = await ChainLock.acquire(temp.path()).then(
        () => 'taken',
        (error: RepositoryError) => error.code,
      );
      await rm(...args);
    };
    syncBuiltinESMExports();

    await lock.release();

    expect(answer).toBe(LOCKED.code);
    await (await ChainLock.acquire(temp.path())).release();
  });

  test('says who holds it, where and since when', async () => {
    await using _lock = await ChainLock.acquire(temp.path());

    expect(readLock()).toMatchObject({ pid: process.pid, host: hostname() });
    expect(Date.parse(readLock().since)).toBeLessThanOrEqual(Date.now());
    expect(modeOf(temp.path('lock'))).toBe('600');
  });

  test('is gone with its holder', async () => {
    const lock = await ChainLock.acquire(temp.path());

    await lock.release();

    expect(readdirSync(temp.path())).toEqual([]);
  });

  test('cannot be taken while its holder lives', async () => {
    await using _lock = await ChainLock.acquire(temp.path());

    const second = ChainLock.acquire(temp.path());

    await expect(second).rejects.toMatchObject({ ...LOCKED, details: { pid: process.pid } });
    expect(readdirSync(temp.path())).toEqual(['lock']);
  });

  test('is held by one task of a process at a time', async () => {
    let [holders, most, taken] = [0, 0, 0];
    const work = async (): Promise<void> => {
      while (taken < 60) {
        const lock = await ChainLock.acquire(temp.path()).catch(() => undefined);
        if (!lock) continue;
        most = Math.max(most, ++holders);
        taken++;
        await new Promise(setImmediate);
        await lock.assertHeld();
        holders--;
        await lock.release();
      }
    };

    await Promise.all(Array.from({ length: 6 }, work));

    expect(most).toBe(1);
  });

  test.each([
    ['a process that has ended', () => ({ pid: deadPid() })],
    ['a process whose id was used again', () => ({ processStart: '1' })],
  ])('of %s is taken over', async (_name, facts) => {
    await writeLock(facts());

    await expectTakenOver();
  });

  test.runIf(PROVES_RESTART)('of another boot is taken over', async () => {
    await writeLock({ bootId: 'another boot' });

    await expectTakenOver();
  });

  test('whose breakers were killed as well is taken over at once', async () => {
    const holder = await writeLock({ pid: deadPid() });
    const first = `lock.break.${holder.id}`;
    for (const [name, id] of [
      [first, 'of-a-breaker'],
      [`${first}.break.of-a-breaker`, 'of-another-breaker'],
    ] as const) {
      writeFileSync(temp.path(name), JSON.stringify({ ...holder, id }));
    }

    await using lock = await ChainLock.acquire(temp.path());

    await expect(lock.assertHeld()).resolves.toBeUndefined();
    expect(readdirSync(temp.path())).toEqual(['lock']);
  });

  test.each([
    ['nothing', ''],
    ['a half', '{"id":"of-a-sess'],
  ])('removes the attempt of a process that was killed when it had written %s', async (_, text) => {
    writeFileSync(temp.path('lock.77aa1a52-3a15-4ba2-90f2-4ea3d1b7b5c5'), text);

    await using lock = await ChainLock.acquire(temp.path());

    await expect(lock.assertHeld()).resolves.toBeUndefined();
    expect(readdirSync(temp.path())).toEqual(['lock']);
  });

  test('that a living process is about to break is left to it', async () => {
    const holder = await writeLock({ pid: deadPid() });
    const claim = { ...holder, id: 'of-a-breaker', pid: process.pid };
    writeFileSync(temp.path(`lock.break.${holder.id}`), JSON.stringify(claim));

    await expect(ChainLock.acquire(temp.path())).rejects.toMatchObject(LOCKED);

    expect(readLock()).toEqual(holder);
  });

  test('of another host is never broken', async () => {
    const facts = { host: 'elsewhere', bootId: 'x', pid: deadPid(), processStart: '1' };
    const holder = await writeLock(facts);

    const attempt = ChainLock.acquire(temp.path());

    await expect(attempt).rejects.toMatchObject(LOCKED);
    expect(readLock()).toEqual(holder);
  });

  test.each(['', 'garbage', '{}', '{"pid":-1}'])(
    'that reads %j is never broken',
    async (content) => {
      writeFileSync(temp.path('lock'), content);

      const attempt = ChainLock.acquire(temp.path());

      await expect(attempt).rejects.toMatchObject(LOCKED);
      expect(readFileSync(temp.path('lock'), 'utf8')).toBe(content);
    },
  );

  test.each([
    ['of another container', { ...FOR_LIFE, pidNamespace: 'pid:[1]' }, /another container/],
    [
      'of another machine',
      { ...FOR_LIFE, bootId: 'x', machineId: 'y' },
      /another machine, or before/,
    ],
    ['of another host', { ...FOR_LIFE, host: 'elsewhere' }, /another host/],
    ['without a known start time', { ...FOR_LIFE, processStart: '' }, /cannot tell/],
  ])('%s is kept, and the hint says how to take it away', async (_name, facts, reason) => {
    await writeLock({ pid: deadPid(), ...facts });

    await expectRefused(reason);
    await expectRefused(/delete \S+\/lock and run the command again$/);
  });

  test('of an old version is taken over only when no process has its pid', async () => {
    const old = { ...FOR_LIFE, machineId: undefined, pidNamespace: undefined };
    await writeLock({ ...old, processStart: '1' });
    await expectRefused(/cannot tell whether that process still runs/);

    await writeLockAgain({ ...old, pid: deadPid() });
    await expectTakenOver();
  });

  test('with the claim of a session that cannot be seen names the claim', async () => {
    const holder = await writeLock({ pid: deadPid() });
    const claim = `lock.break.${holder.id}`;
    const breaker = { ...holder, ...FOR_LIFE, id: 'of-a-breaker', pidNamespace: 'pid:[1]' };
    writeFileSync(temp.path(claim), JSON.stringify(breaker));

    await expectRefused(new RegExp(`another container.* delete \\S+/${claim} and run`));

    rmSync(temp.path(claim));
    await expectTakenOver();
  });

  test('that was taken over is noticed, and left to its new holder', async () => {
    const lock = await ChainLock.acquire(temp.path());
    const other = { ...readLock(), id: 'of-another-session' };
    writeFileSync(temp.path('lock'), JSON.stringify(other));

    await expect(lock.assertHeld()).rejects.toMatchObject(LOCKED);
    await lock.release();

    expect(readLock()).toEqual(other);
  });

  test('that vanished is noticed', async () => {
    const lock = await ChainLock.acquire(temp.path());

    await lock.release();

    await expect(lock.assertHeld()).rejects.toMatchObject(LOCKED);
  });
});

/** As if the lock had not been renewed for `ms`, by the clock of the file server. */
function ageLock(ms: number): void {
  const then = new Date(statSync(temp.path('lock')).mtimeMs - ms);
  utimesSync(temp.path('lock'), then, then);
}

describe('the lease', () => {
  const ELSEWHERE = { host: 'elsewhere', bootId: 'x', processStart: '1', leaseMs: 60_000 };

  test.each([
    ['of another host', ELSEWHERE],
    ['of another container', { ...ELSEWHERE, host: hostname(), pidNamespace: 'pid:[1]' }],
    ['of a process that is paused', {}],
  ])('%s protects until it has ended', async (_name, facts) => {
    await writeLock(facts);
    ageLock(50_000);
    await expect(ChainLock.acquire(temp.path())).rejects.toMatchObject(LOCKED);

    ageLock(11_000);
    await expectTakenOver();
  });

  test('that is left is told with host and pid', async () => {
    await writeLock({ ...ELSEWHERE, pid: 4711 });
    ageLock(20_000);

    await expectRefused(/another process on elsewhere \(pid 4711\) .* its lease ends in 40 s/);
  });

  test('is missing in locks of earlier versions, which stay', async () => {
    await writeLock({ ...ELSEWHERE, ...FOR_LIFE });
    ageLock(10 * 24 * 3_600_000);

    await expectRefused(/delete \S+\/lock and run the command again$/);
  });

  test('is missing in a lock for life', async () => {
    await using _lock = await ChainLock.acquireForLife(temp.path());
    ageLock(10 * 24 * 3_600_000);

    await expect(ChainLock.acquire(temp.path())).rejects.toMatchObject(LOCKED);
  });

  test('is renewed by its holder', async () => {
    await using lock = await ChainLock.acquire(temp.path(), { renewEveryMs: 10, leaseMs: 60_000 });
    ageLock(50_000);
    const agedMs = statSync(temp.path('lock')).mtimeMs;

    await expect.poll(() => statSync(temp.path('lock')).mtimeMs).toBeGreaterThan(agedMs + 40_000);
    await lock.assertHeld();
  });

  test('that another process took is noticed by the renewal, which leaves the new lock', async () => {
    await using lock = await ChainLock.acquire(temp.path(), { renewEveryMs: 10, leaseMs: 60_000 });
    const other = JSON.stringify({ ...readLock(), id: 'of-another-session' });
    rmSync(temp.path('lock'));
    writeFileSync(temp.path('lock'), other);

    await expect.poll(() => lock.lost.aborted).toBe(true);

    expect(lock.lost.reason).toMatchObject(LOCKED);
    expect(await lock.isHeld()).toBe(false);
    expect(readFileSync(temp.path('lock'), 'utf8')).toBe(other);
  });

  test('comes with a token that grows, also when the clock was put back', async () => {
    const tokens: number[] = [];
    for (let k = 0; k < 3; k++) {
      const lock = await ChainLock.acquire(temp.path());
      tokens.push(lock.token);
      await lock.release();
    }
    const future = (tokens.at(-1) ?? 0) + 1_000_000;
    await writeLock({ pid: deadPid(), token: future });
    await using taken = await ChainLock.acquire(temp.path());

    expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
    expect(taken.token).toBe(future + 1);
    expect(readLock().token).toBe(future + 1);
  });
});

/** Another process takes the lock of a paused holder over, as {@link ChainLock} does. */
async function takeFrom(): Promise<DiskFolder> {
  ageLock(61_000);
  const other = new DiskFolder(temp.path());
  await other.lock();
  return other;
}

describe('a holder whose lock was taken over', () => {
  test('cannot replace, publish, delete or begin anything', async () => {
    const folder = new DiskFolder(temp.path());
    await folder.lock();
    await folder.writeFile('vm.vbm', 'old');
    const container = await folder.createContainer('x.vbk');
    await container.storage.close();
    const lines = await folder.startLines('journal.ndjson', ['a\n']);
    const other = await takeFrom();
    await other.writeFile('vm.vbm', 'new');

    await expect(folder.writeFile('vm.vbm', 'late')).rejects.toMatchObject(LOCKED);
    await expect(container.publish()).rejects.toMatchObject(LOCKED);
    await expect(folder.remove(['vm.vbm'])).rejects.toMatchObject(LOCKED);
    await expect(folder.startLines('journal.ndjson', [])).rejects.toMatchObject(LOCKED);
    await expect(lines.append('b\n', true)).rejects.toMatchObject(LOCKED);
    await expect(folder.removeLeftovers()).resolves.toEqual([]);
    await lines.close();

    expect(readFileSync(temp.path('vm.vbm'), 'utf8')).toBe('new');
    expect(readdirSync(temp.path()).toSorted()).toEqual(['journal.ndjson', 'lock', 'vm.vbm']);
    expect(await other.removeLeftovers()).toEqual(['x.vbk.partial']);
  });

  test.each([
    ['the chain metadata', (folder: DiskFolder) => folder.writeFile('vm.vbm', 'late')],
    ['a journal', (folder: DiskFolder) => folder.startLines('journal.ndjson', ['late\n'])],
    [
      'a container',
      async (folder: DiskFolder) => {
        const container = await folder.createContainer('x.vbk');
        await container.storage.close();
        await container.publish();
      },
    ],
  ])('between its check and the rename does not replace %s', async (_name, change) => {
    const folder = new DiskFolder(temp.path());
    await folder.lock();
    await folder.writeFile('vm.vbm', 'old');
    const { rename } = fs.promises;
    fs.promises.rename = async (from, to) => {
      fs.promises.rename = rename;
      syncBuiltinESMExports();
      await (await takeFrom()).writeFile('vm.vbm', 'new');
      await rename(from, to);
    };
    syncBuiltinESMExports();

    await expect(change(folder)).rejects.toMatchObject(LOCKED);

    expect(readFileSync(temp.path('vm.vbm'), 'utf8')).toBe('new');
    expect(readdirSync(temp.path()).toSorted()).toEqual(['lock', 'vm.vbm']);
  });
});

/** Makes `count` attempts at the same time, and returns how many got the lock. */
async function winners(count: number): Promise<number> {
  const attempts = Array.from({ length: count }, () => ChainLock.acquire(temp.path()));
  const results = await Promise.allSettled(attempts);
  const won = results.filter((result) => result.status === 'fulfilled');
  for (const { value } of won) await value.release();
  return won.length;
}

/** A lock of a dead process, and another process's claim on it. */
async function writeClaimedLock(pid: number): Promise<void> {
  const holder = await writeLock({ pid });
  const claim = { ...holder, id: 'of-a-breaker' };
  writeFileSync(temp.path(`lock.break.${holder.id}`), JSON.stringify(claim));
}

describe('of many that want a lock at once', () => {
  test('exactly one gets a free lock', async () => {
    for (let round = 0; round < 20; round++) expect(await winners(8)).toBe(1);
  });

  test('at most one gets a stale lock', async () => {
    const pid = deadPid();
    for (let round = 0; round < 40; round++) {
      await writeLock({ pid });
      expect(await winners(8)).toBeLessThanOrEqual(1);
    }
  });

  test('at most one gets a stale lock with a stale claim', async () => {
    const pid = deadPid();
    for (let round = 0; round < 40; round++) {
      await writeClaimedLock(pid);
      expect(await winners(8)).toBeLessThanOrEqual(1);
    }
  });
});

describe.each(NO_LINK_ERRNOS)('where links fail with %s', (errno) => {
  test('a lock is taken, refused to others and released', async () => {
    await withoutLinks(errno, async () => {
      const lock = await ChainLock.acquire(temp.path());

      await expect(ChainLock.acquire(temp.path())).rejects.toMatchObject(LOCKED);
      expect(readLock()).toMatchObject({ pid: process.pid, host: hostname() });
      expect([readdirSync(temp.path()), modeOf(temp.path('lock'))]).toEqual([['lock'], '600']);
      await lock.assertHeld();
      await lock.release();
      expect(readdirSync(temp.path())).toEqual([]);
    });
  });

  test('exactly one of many gets a free lock, and at most one a stale lock', async () => {
    await withoutLinks(errno, async () => {
      const pid = deadPid();
      for (let round = 0; round < 5; round++) {
        expect(await winners(8)).toBe(1);
        await writeLock({ pid });
        expect(await winners(8)).toBeLessThanOrEqual(1);
        await expectTakenOver();
      }
    });
  });
});

test('a process that was paused before it had the lock tries again', async () => {
  const { link } = fs.promises;
  fs.promises.link = async (from, to) => {
    fs.promises.link = link;
    syncBuiltinESMExports();
    rmSync(from);
    await link(from, to);
  };
  syncBuiltinESMExports();

  await expectTakenOver();
});

test('a lock whose link was made, but reported as failed, is ours', async () => {
  const { link } = fs.promises;
  fs.promises.link = async (from, to) => {
    await link(from, to);
    throw Object.assign(new Error('EEXIST'), { code: 'EEXIST' });
  };
  syncBuiltinESMExports();
  try {
    await expectTakenOver();
  } finally {
    fs.promises.link = link;
    syncBuiltinESMExports();
  }
});
