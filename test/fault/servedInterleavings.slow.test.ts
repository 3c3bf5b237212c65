/**
 * A server starts at every step of a prune, and a prune runs at every step of a server's start.
 * Afterwards the server reads every byte, or its start failed with a clear error. No failing
 * operation of a prune takes a file from a server.
 */
import { deepStrictEqual, ok } from 'node:assert';
import { AsyncLocalStorage } from 'node:async_hooks';
import { cpSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BackupError } from '../../src/core/errors.ts';
import { pruneRepository } from '../../src/sessions/retention/pruneRepository.ts';
import { synthesizeFull } from '../../src/sessions/retention/synthesizeFull.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { createRandom } from '../helpers/bytes/random.ts';
import { FILE_FAULTS, FaultyFiles } from '../helpers/faults/faultyFiles.ts';
import { makeFastFolder } from '../helpers/folders.ts';
import { IS_LONG_FORM, longOr } from '../helpers/longForm.ts';
import {
  backup,
  checkContainersListed,
  checkNoStrays,
  expectClean,
  VM,
} from '../helpers/repository/imageSessions.ts';
import {
  checkLeasedFiles,
  checkServed,
  servePoint,
  type ServedPoint,
} from '../helpers/repository/leases.ts';
import { pointIdsOf } from '../helpers/repository/repositoryFiles.ts';

/** Two chains: the second one begins with point 2. */
const TEXTS = ['Ab0', 'xb0', 'xy0', 'xyZ', '0yZ', '0yQ'];
const SECOND_CHAIN = 2;
/** Errors with which a server may refuse to start. */
const REFUSED = ['CHAIN_CHANGED', 'CHAIN_PARENT_MISSING', 'USAGE_NOT_FOUND'];
const SEED = 20_261_201;

let folder = '';
let files: FaultyFiles;
let pointIds: readonly string[] = [];

beforeAll(async () => {
  folder = makeFastFolder('served');
  const [base, image] = [path.join(folder, 'base'), path.join(folder, 'a')];
  for (const [k, text] of TEXTS.entries()) {
    await backup(base, writeImage(image, blocks(text)), {
      mode: k === SECOND_CHAIN ? 'full' : 'auto',
    });
  }
  pointIds = await pointIdsOf(base, VM);
  files = await FaultyFiles.install(folder);
});
afterAll(() => {
  files.uninstall();
  rmSync(folder, { recursive: true, force: true });
});

const repositoryPath = (): string => path.join(folder, 'repository');

function prepare(): void {
  rmSync(repositoryPath(), { recursive: true, force: true });
  cpSync(path.join(folder, 'base'), repositoryPath(), { recursive: true });
}

async function prune(): Promise<void> {
  const { vms } = await pruneRepository({
    repository: repositoryPath(),
    keep: { last: 2 },
    workers: 0,
  });
  expect(vms[0]?.failure).toBeUndefined();
}

async function tryPrune(): Promise<void> {
  const options = { repository: repositoryPath(), keep: { last: 2 }, workers: 0 };
  await pruneRepository(options).catch((error: unknown) => {
    if (!(error instanceof BackupError)) throw error;
  });
}

/** A synthetic full is refused while its point is served. */
async function synthesize(): Promise<void> {
  await synthesizeFull({ repository: repositoryPath(), vm: VM, workers: 0 }).catch(
    (error: unknown) => {
      if (!(error instanceof BackupError) || error.code !== 'REPOSITORY_LOCKED') throw error;
    },
  );
}

async function start(at: number): Promise<ServedPoint | undefined> {
  try {
    return await servePoint(repositoryPath(), pointIds[at] ?? '', folder);
  } catch (error) {
    ok(error instanceof BackupError, String(error));
    ok(REFUSED.includes(error.code), error.code);
    return undefined;
  }
}

interface Outcomes {
  served: number;
  refused: number;
}

function tell(what: string, { served, refused }: Outcomes): void {
  console.log(`${what}: ${served} servers read every byte, ${refused} were refused`);
}

/** Checks the server, and that the next prune brings the repository to its end. */
async function check(at: number, served: ServedPoint | undefined): Promise<void> {
  if (served) {
    checkLeasedFiles(repositoryPath());
    await checkServed(served.uri, blocks(TEXTS[at] ?? ''), folder);
    deepStrictEqual(served.messages, []);
    await served.close();
  }
  await prune();
  deepStrictEqual(await pointIdsOf(repositoryPath(), VM), pointIds.slice(-2));
  await expectClean(repositoryPath());
  await checkContainersListed(repositoryPath());
  checkNoStrays(repositoryPath());
}

/** Runs `work`, and `meanwhile` before its operation `nth`. @returns the number of operations. */
async function interrupt(
  nth: number,
  work: () => Promise<unknown>,
  meanwhile: () => Promise<unknown>,
): Promise<number> {
  let own = 0;
  let isBusy = false;
  files.arm();
  files.watch(async () => {
    if (isBusy || ++own !== nth) return;
    isBusy = true;
    await meanwhile();
    isBusy = false;
  });
  await work();
  files.watch(() => {});
  return own;
}

/** All operations in the long form, otherwise some that are spread over the work. */
const STEP = IS_LONG_FORM ? 1 : 19;
/** A start has few operations, and those around its lease are what matters. */
const START_STEP = IS_LONG_FORM ? 1 : 7;
const FAULT_STEP = IS_LONG_FORM ? 1 : 53;

describe.each([
  ['prune', prune],
  ['synthetic full', synthesize],
] as const)('a %s', (what, work) => {
  test('whose every step meets the start of a server', async () => {
    const outcomes = { served: 0, refused: 0 };
    prepare();
    const operations = await interrupt(Infinity, work, () => Promise.resolve());
    expect(operations).toBeGreaterThan(60);

    for (let nth = 1; nth <= operations; nth += STEP) {
      const at = Math.floor(nth / STEP) % TEXTS.length;
      let served: ServedPoint | undefined;
      prepare();
      await interrupt(nth, work, async () => {
        served = await start(at);
        outcomes[served ? 'served' : 'refused']++;
      });
      await check(at, served);
    }

    tell(`a server at ${operations} operations of a ${what}`, outcomes);
    expect(outcomes.served).toBeGreaterThan(0);
    expect(outcomes.served + outcomes.refused).toBeGreaterThan(operations / STEP / 2);
  });

  test('in the middle of every step of the start of a server', async () => {
    const outcomes = { served: 0, refused: 0 };
    prepare();
    const operations = await interrupt(
      Infinity,
      async () => await (await start(4))?.close(),
      () => Promise.resolve(),
    );
    expect(operations).toBeGreaterThan(20);

    for (let nth = 1; nth <= operations; nth += START_STEP) {
      const at = Math.floor(nth / START_STEP) % TEXTS.length;
      let served: ServedPoint | undefined;
      prepare();
      await interrupt(nth, async () => (served = await start(at)), work);
      outcomes[served ? 'served' : 'refused']++;
      await check(at, served);
    }

    tell(`a ${what} at ${operations} operations of a server's start`, outcomes);
    expect(outcomes.served).toBeGreaterThan(0);
  });
});

describe.each(FILE_FAULTS)('%s in a prune beside a server', (fault) => {
  test('takes no file from it', async () => {
    prepare();
    files.arm();
    await prune();
    const { operations } = files.disarm();
    const outcomes = { served: 0, refused: 0 };

    for (let nth = 1; nth <= operations; nth += FAULT_STEP) {
      const at = nth % TEXTS.length;
      prepare();
      const served = await start(at);
      outcomes[served ? 'served' : 'refused']++;
      files.arm({ fault, nth });
      await tryPrune();
      files.disarm();
      await check(at, served);
    }
    tell(`${fault} at ${operations} operations`, outcomes);
    expect(outcomes.refused).toBe(0);
  });
});

test('both at once, with pauses by chance', async () => {
  const outcomes = { served: 0, refused: 0 };
  const random = createRandom(SEED);
  const sides = new AsyncLocalStorage<number>();

  for (let round = 0; round < longOr(300, 8); round++) {
    const at = random.below(TEXTS.length);
    const pauses = [random.below(30), random.below(30)];
    prepare();
    files.watch(async () => {
      const most = pauses[sides.getStore() ?? 0] ?? 0;
      for (let left = random.below(most + 1); left > 0; left--) await turn();
    });
    const [served] = await Promise.all([
      sides.run(0, () => start(at)),
      sides.run(1, () => prune()),
    ]);
    files.watch(() => {});
    outcomes[served ? 'served' : 'refused']++;
    await check(at, served);
  }

  tell('both at once', outcomes);
  expect(outcomes.served).toBeGreaterThan(0);
});
