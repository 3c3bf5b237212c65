/**
 * Points that are served stay as they are: every kind of prune, with each point of the chains
 * served in turn.
 */
import { existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { rescanRepository } from '../../src/sessions/cleanup/rescanRepository.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import type { PrunedVm } from '../../src/sessions/retention/pruneReport.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import { inTurn } from '../helpers/longForm.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { backup, checkContainersListed } from '../helpers/repository/imageSessions.ts';
import {
  checkLeasedFiles,
  checkServed,
  leasePath,
  leasesOf,
  servePoint,
} from '../helpers/repository/leases.ts';
import {
  backUpState,
  chainOf,
  expectPoints,
  type Pictured,
  prune,
  pruneTo,
  synthesize,
  vmOf,
} from '../helpers/repository/prunes.ts';
import { filesOf, pointsOf, vmFolderOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

/** Two chains: the second one begins with point 3. */
const TEXTS = ['AbC0e', 'xbC0e', 'xyC0e', 'xyZ0e', 'xyZ1e', '0yZ1f'] as const;
const SECOND_CHAIN = 3;

async function twoChains(): Promise<Pictured> {
  const states = TEXTS.map((text) => ({ a: blocks(text) }));
  const chain = await chainOf(temp, states.slice(0, SECOND_CHAIN));
  const contents = new Map(chain.contents);
  for (const [k, state] of states.slice(SECOND_CHAIN).entries()) {
    const image = writeImage(temp.path('a'), state.a);
    const { pointId } = await backup(chain.repository, image, { mode: k === 0 ? 'full' : 'auto' });
    contents.set(pointId, state);
  }
  return { repository: chain.repository, contents, pointIds: [...contents.keys()] };
}

async function oneChain(...texts: readonly string[]): Promise<Pictured> {
  return await chainOf(
    temp,
    texts.map((text) => ({ a: blocks(text) })),
  );
}

/** Positions of a point and of those that it builds on. */
function chainOfPosition(position: number): number[] {
  const first = position < SECOND_CHAIN ? 0 : SECOND_CHAIN;
  return Array.from({ length: position - first + 1 }, (_, k) => first + k);
}

function contentOf(chain: Pictured, position: number): Buffer {
  return chain.contents.get(chain.pointIds[position] ?? '')?.['a'] ?? Buffer.alloc(0);
}

function reasonsOf({ points }: PrunedVm): string[] {
  return points.map(({ action, keptBecause }) =>
    action === 'keep' ? keptBecause.join('+') : action,
  );
}

const PLANS: readonly (readonly [title: string, kept: readonly number[]])[] = [
  ['merges the second chain into its last point', [5]],
  ['merges both chains', [2, 5]],
  ['merges increments', [0, 2, 3, 5]],
  ['deletes a tail', [1, 5]],
  ['deletes the first chain', [3, 4, 5]],
  ['does nothing', [0, 1, 2, 3, 4, 5]],
];

const ROWS = PLANS.flatMap(([title, kept]) =>
  TEXTS.map((_text, at): [string, number, readonly number[]] => [title, at, kept]),
);

test.each(inTurn(ROWS))(
  'a prune that %s leaves point %i alone while it is served',
  async (...row) => {
    const [, at, kept] = row;
    const chain = await twoChains();
    const { repository, pointIds } = chain;
    const served = await servePoint(repository, pointIds[at] ?? '', temp.path());
    const frozen = chainOfPosition(at);
    const files = frozen.map((position) => pointsOf(repository)[position]?.fileName);

    const report = await pruneTo(repository, kept);

    const stays = [...new Set([...kept, ...frozen])].toSorted((a, b) => a - b);
    expect(pointsOf(repository).map(({ pointId }) => pointId)).toEqual(
      stays.map((position) => pointIds[position]),
    );
    const after = new Map(pointsOf(repository).map((point) => [point.pointId, point.fileName]));
    expect(frozen.map((position) => after.get(pointIds[position] ?? ''))).toEqual(files);
    expect(reasonsOf(report)[at]).toMatch(/served$/);
    const codes = messageCodes(report).filter((code) => code !== 'REPO-515');
    expect(codes).toEqual([]);
    checkLeasedFiles(repository);
    await checkServed(served.uri, contentOf(chain, at), temp.path());
    await expectPoints(chain, stays);

    await served.close();
    expect(leasesOf(repository)).toEqual([]);
    const again = kept.map((position) => stays.indexOf(position));
    expect(messageCodes(await pruneTo(repository, again))).toEqual([]);
    await expectPoints(chain, kept);
    await checkContainersListed(repository);
  },
);

describe('a prune', () => {
  test('says what an export keeps, and merges points that the export does not need', async () => {
    const chain = await oneChain('AbC0', 'xbC0', 'xyC0', 'xyZ0', 'xyZ1');
    const served = await servePoint(chain.repository, chain.pointIds[1] ?? '', temp.path());

    const dry = await prune(chain.repository, { last: 1 }, { dryRun: true });
    const report = await prune(chain.repository, { last: 1 });

    expect(reasonsOf(report)).toEqual(['needed', 'served', 'merge', 'merge', 'last']);
    expect(dry.points).toEqual(report.points);
    expect(dry.messages).toEqual(report.messages);
    expect(report.messages).toMatchObject([
      { code: 'REPO-515', text: expect.stringContaining(`pid ${process.pid} on host `) },
    ]);
    await expectPoints(chain, [0, 1, 4]);
    await served.close();
  });

  test('has no message about an export that changes nothing', async () => {
    const chain = await oneChain('AbC0', 'xbC0', 'xyC0');
    await synthesize(chain.repository);
    const served = await servePoint(chain.repository, 'latest', temp.path());

    const report = await prune(chain.repository, { last: 1 });

    expect(reasonsOf(report)).toEqual(['delete', 'delete', 'last+served']);
    expect(report.messages).toEqual([]);
    await checkServed(served.uri, contentOf(chain, 2), temp.path());
    await served.close();
  });

  test('keeps the points of several servers', async () => {
    const chain = await twoChains();
    const servers = [];
    for (const at of [0, 0, 4]) {
      servers.push(await servePoint(chain.repository, chain.pointIds[at] ?? '', temp.path()));
    }

    const report = await prune(chain.repository, { last: 1 });

    expect(reasonsOf(report)).toEqual(['served', 'delete', 'delete', 'needed', 'served', 'last']);
    expect(messageCodes(report)).toEqual(['REPO-515', 'REPO-515', 'REPO-515']);
    await servers[0]?.close();
    await servers[2]?.close();
    expect(reasonsOf(await prune(chain.repository, { last: 1 }))).toEqual([
      'served',
      'merge',
      'merge',
      'last',
    ]);
    await servers[1]?.close();
    await prune(chain.repository, { last: 1 });
    await expectPoints(chain, [5]);
  });

  test('deletes and merges nothing while a lease cannot be read, and goes on later', async () => {
    const chain = await oneChain('AbC0', 'xbC0', 'xyC0');
    const file = leasePath(chain.repository, 'lease.x.json');
    writeFileSync(file, 'rubbish');

    const report = await prune(chain.repository, { last: 1 });

    expect(reasonsOf(report)).toEqual(['served', 'served', 'last+served']);
    expect(report.messages).toMatchObject([
      { code: 'REPO-517', text: expect.stringContaining(file) },
    ]);
    await expectCode(synthesize(chain.repository), 'REPOSITORY_LOCKED');
    await expectPoints(chain, [0, 1, 2]);
    const longAgo = new Date(Date.now() - 16 * 60_000);
    utimesSync(file, longAgo, longAgo);
    expect((await prune(chain.repository, { last: 1 })).messages).toEqual([]);
    expect(existsSync(file)).toBe(false);
    await expectPoints(chain, [2]);
  });
});

describe('a synthetic full', () => {
  test('is not made of a point that is served', async () => {
    const chain = await oneChain('AbC0', 'xbC0', 'xyC0');
    const before = pointsOf(chain.repository);
    const served = await servePoint(chain.repository, 'latest', temp.path());

    const error = await synthesize(chain.repository).catch((cause: unknown) => cause);

    expect(error).toMatchObject({
      code: 'REPOSITORY_LOCKED',
      message: expect.stringContaining(`pid ${process.pid} on host `),
      hint: expect.stringContaining('End that export, then run the command again'),
    });
    expect(pointsOf(chain.repository)).toEqual(before);
    await checkServed(served.uri, contentOf(chain, 2), temp.path());
    await served.close();
    expect(await synthesize(chain.repository)).toMatchObject({ isNew: true });
    await expectPoints(chain, [0, 1, 2]);
  });

  test('is made of the newest point while an older one is served', async () => {
    const chain = await oneChain('AbC0', 'xbC0', 'xyC0');
    const served = await servePoint(chain.repository, chain.pointIds[1] ?? '', temp.path());

    expect(await synthesize(chain.repository)).toMatchObject({ isNew: true });

    await checkServed(served.uri, contentOf(chain, 1), temp.path());
    await served.close();
    await expectPoints(chain, [0, 1, 2]);
  });
});

/** A prune that was stopped before it deleted files: they are obsolete, and a server reads them. */
async function obsoleteAndServed(): Promise<{
  readonly chain: Pictured;
  /** Checks that the files are still served and obsolete, and ends the server. */
  readonly served: () => Promise<void>;
  readonly close: () => Promise<void>;
}> {
  const chain = await twoChains();
  const { repository, pointIds } = chain;
  const server = await servePoint(repository, pointIds[2] ?? '', temp.path());
  const metadata = await vmOf(repository).requireMetadata();
  const gone = metadata.points.slice(0, SECOND_CHAIN);
  const obsoleteFiles = gone.map(({ fileName }) => fileName);
  await vmOf(repository).writeMetadata({
    ...metadata,
    points: metadata.points.slice(SECOND_CHAIN),
    obsoleteFiles,
  });
  return {
    chain,
    close: () => server.close(),
    served: async () => {
      checkLeasedFiles(repository);
      await checkServed(server.uri, contentOf(chain, 2), temp.path());
      await server.close();
      expect((await vmOf(repository).requireMetadata()).obsoleteFiles).toEqual(obsoleteFiles);
    },
  };
}

describe('obsolete files that a server reads', () => {
  test('stay during a backup, and go with the next one', async () => {
    const { chain, served } = await obsoleteAndServed();
    const { repository } = chain;

    const report = await backup(repository, writeImage(temp.path('a'), blocks('0yZ1g')));

    expect(report.pointType).toBe('increment');
    expect(messageCodes(report)).toEqual(['REPO-516']);
    await served();
    const next = await backup(repository, writeImage(temp.path('a'), blocks('0yZ1h')));
    expect(messageCodes(next)).toEqual(['REPO-511', 'REPO-511', 'REPO-511']);
    await checkContainersListed(repository);
  });

  test('stay during a prune and a synthetic full', async () => {
    const { chain, served } = await obsoleteAndServed();
    const { repository } = chain;

    const report = await prune(repository, { last: 2 });
    const { messages } = await synthesize(repository);

    expect(messageCodes(report)).toEqual(['REPO-516']);
    expect(messages.map(({ code }) => code)).toEqual(['REPO-516']);
    await served();
    await prune(repository, { last: 2 });
    await expectPoints(chain, [4, 5]);
    await checkContainersListed(repository);
  });

  test('stay during a rescan, and do not come back as points', async () => {
    const { chain, served } = await obsoleteAndServed();
    const { repository } = chain;

    const { vms } = await rescanRepository({ repository });

    expect(vms[0]).toMatchObject({ pointCount: 3, leftOut: [] });
    await served();
    await rescanRepository({ repository });
    await expectPoints(chain, [3, 4, 5]);
    await checkContainersListed(repository);
  });

  test('are no points after a rescan without chain metadata that a prune deletes at once', async () => {
    const { chain, close } = await obsoleteAndServed();
    const { repository } = chain;
    const metadata = await vmOf(repository).requireMetadata();
    await vmOf(repository).writeMetadata({ ...metadata, obsoleteFiles: undefined });

    await rescanRepository({ repository });

    // Without the list nobody knows that they are obsolete. The server keeps them from the prune.
    const report = await prune(repository, { last: 1 });
    expect(reasonsOf(report).slice(0, 3)).toEqual(['needed', 'needed', 'served']);
    checkLeasedFiles(repository);
    await close();
  });
});

describe('list', () => {
  test('names the process that serves a point', async () => {
    const chain = await oneChain('AbC0', 'xbC0');
    const { repository, pointIds } = chain;
    const served = await servePoint(repository, pointIds[0] ?? '', temp.path());
    const before = filesOf(repository);

    const { vms } = await listRepository({ repository });

    expect(vms[0]?.points.map(({ servedBy }) => servedBy?.map(({ pid }) => pid))).toEqual([
      [process.pid],
      undefined,
    ]);
    await served.close();
    expect(filesOf(repository)).toEqual(before.filter((name) => !name.startsWith('lease.')));
    const after = await listRepository({ repository });
    expect(after.vms[0]?.points.every((point) => !('servedBy' in point))).toBe(true);
  });
});

test('a point that a prune merged after it was opened is not served, and can be opened again', async () => {
  const { openRepository } = await import('../../src/points/openRepository.ts');
  const chain = await oneChain('AbC0', 'xbC0', 'xyC0');
  const { repository, pointIds } = chain;
  await using opened = await openRepository(repository, { workers: 0 });
  const point = await opened.point('vm', pointIds[1]);
  await prune(repository, { last: 2 });

  const disk = point.disk('a');
  await expectCode(disk.serveNbd({ socket: temp.path('nbd.sock') }), 'CHAIN_CHANGED');

  expect(leasesOf(repository)).toEqual([]);
  const served = await servePoint(repository, pointIds[1] ?? '', temp.path());
  await checkServed(served.uri, contentOf(chain, 1), temp.path());
  await served.close();
});

test('a server whose address cannot be used leaves no lease', async () => {
  const { openRepository } = await import('../../src/points/openRepository.ts');
  const { repository } = await oneChain('AbC0');
  writeFileSync(temp.path('nbd.sock'), 'taken');
  await using opened = await openRepository(repository, { workers: 0 });

  const disk = (await opened.point('vm')).disk('a');
  await expectCode(disk.serveNbd({ socket: temp.path('nbd.sock') }), 'USAGE_OUTPUT_EXISTS');

  expect(leasesOf(repository)).toEqual([]);
});

test('a new session stores an increment on a point that is served', async () => {
  const chain = await oneChain('AbC0', 'xbC0');
  const { repository } = chain;
  const served = await servePoint(repository, 'latest', temp.path());
  const full = path.join(vmFolderOf(repository), pointsOf(repository)[0]?.fileName ?? '');
  const before = readFileSync(full);

  await backUpState(temp, repository, { a: blocks('xyC0') });

  expect(readFileSync(full).equals(before)).toBe(true);
  await checkServed(served.uri, contentOf(chain, 1), temp.path());
  await served.close();
  await prune(repository, { last: 1 });
});
