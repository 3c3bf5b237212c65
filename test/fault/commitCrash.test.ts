import { describe, expect, it } from 'vitest';
import { ContainerReader } from '../../src/container/read/containerReader.ts';
import { ContainerWriter } from '../../src/container/write/containerWriter.ts';
import { dataStartOf } from '../../src/container/format/layout.ts';
import { BackupError } from '../../src/core/errors.ts';
import {
  type Crash,
  type CrashModel,
  prefixCrashes,
  randomCrash,
  MemoryStorage,
} from '../helpers/bytes/memoryStorage.ts';
import { createRandom, noise, prose } from '../helpers/bytes/random.ts';
import {
  addDisk,
  contentsOf,
  createPacker,
  fileOf,
  FOLDER,
} from '../helpers/bytes/smallContainers.ts';

const BLOCK = 4096;
const SEED = Number(process.env['CRASH_SEED'] ?? 20_261_122);
const CRASHES = 150;
/** Barriers of a commit: data, banks, first slot (the commit itself), second slot. */
const BARRIERS_BEFORE_SLOTS = 2;
const BARRIERS_OF_COMMIT = 3;
const NO_SNAPSHOT = 'no snapshot';

interface Scenario {
  readonly base: Buffer;
  readonly events: MemoryStorage['events'];
  readonly before: string;
  readonly after: string;
}

/**
 * The whole content as text; `NO_SNAPSHOT` when the container cannot be opened; otherwise the error
 * that reading the opened snapshot gives.
 */
async function stateOf(image: Buffer): Promise<string> {
  try {
    await ContainerReader.open(new MemoryStorage(image));
  } catch (error) {
    if (error instanceof BackupError && /^(FORMAT|INTEGRITY)_/.test(error.code)) return NO_SNAPSHOT;
    throw error;
  }
  try {
    return (await contentsOf(new MemoryStorage(image))).join('\n');
  } catch (error) {
    return `opened, but ${String(error)}`;
  }
}

/** Records the writes of a first commit, or of a second one after it. */
async function logCommit(which: 'first' | 'second', slotFormat: number): Promise<Scenario> {
  const storage = new MemoryStorage();
  const writer = await ContainerWriter.create(storage, { blockSizeBytes: BLOCK, slotFormat });
  const packer = await createPacker(BLOCK);
  const folder = writer.addFolder(FOLDER, []);
  const add = async (name: string, seed: number): Promise<void> => {
    const content = Buffer.concat([noise(seed, 3 * BLOCK), prose(seed, 9000), noise(seed + 9, 99)]);
    await addDisk(writer, folder, packer, fileOf(name, content, BLOCK));
  };
  await add('disk-1', 1);
  let [base, baseEvents] = [Buffer.alloc(0), 0];
  if (which === 'second') {
    await writer.commit();
    [base, baseEvents] = [Buffer.from(storage.content), storage.events.length];
    await add('disk-2', 2);
  }
  await writer.commit();
  const events = storage.events.slice(baseEvents);
  return { base, events, before: await stateOf(base), after: await stateOf(storage.content) };
}

function modelOf(scenario: Scenario, sectorBytes: number): CrashModel {
  const { base, events } = scenario;
  return { base, events, sectorBytes, isEffective: () => true };
}

/** How a crash breaks the promise of the commit protocol. Undefined when it does not. */
async function violation(scenario: Scenario, crash: Crash): Promise<string | undefined> {
  const state = await stateOf(crash.image);
  const { before, after } = scenario;
  if (state !== before && state !== after) return `${crash.title}: ${state}`;
  if (crash.barriers < BARRIERS_BEFORE_SLOTS && state !== before)
    return `${crash.title}: too early`;
  if (crash.barriers >= BARRIERS_OF_COMMIT && state !== after) return `${crash.title}: lost`;
  return undefined;
}

/**
 * Random crashes after which the container has neither the old nor the new state, or has one too
 * early or too late.
 */
async function violations(scenario: Scenario, model: CrashModel): Promise<string[]> {
  const random = createRandom(SEED);
  const found: string[] = [];
  for (let k = 0; k < CRASHES; k++) {
    const crash = randomCrash(model, random, `seed ${SEED}, crash ${k}`);
    const broken = await violation(scenario, crash);
    if (broken !== undefined) found.push(broken);
  }
  return found;
}

describe.each([
  ['first', 0],
  ['first', 9],
  ['second', 0],
  ['second', 9],
] as const)('a crash in the %s commit with slot format %i', (which, slotFormat) => {
  it('at any write leaves the old or the new state', async () => {
    const scenario = await logCommit(which, slotFormat);

    for (const crash of prefixCrashes(modelOf(scenario, 512))) {
      expect(await violation(scenario, crash), crash.title).toBeUndefined();
    }
  });

  it.each([512, 64])(
    'with any sectors of %i bytes missing leaves the old or the new state',
    async (sectorBytes) => {
      const scenario = await logCommit(which, slotFormat);

      expect(await violations(scenario, modelOf(scenario, sectorBytes))).toEqual([]);
    },
  );
});

/** Crashes of `scenario` after which neither the old nor the new content can be read. */
async function tornOf(scenario: Scenario, change: Partial<CrashModel>): Promise<string[]> {
  const found = await violations(scenario, { ...modelOf(scenario, 512), ...change });
  return found.filter((text) => !/: (lost|too early)$/.test(text));
}

describe('the simulation', () => {
  it('starts without a snapshot before the first commit and with one before the second', async () => {
    const [first, second] = [await logCommit('first', 0), await logCommit('second', 0)];

    expect(first.before).toBe(NO_SNAPSHOT);
    expect(second.before).toBe(first.after);
    expect(second.after).not.toBe(second.before);
  });

  it('sees both outcomes of a commit', async () => {
    const scenario = await logCommit('second', 0);
    const random = createRandom(SEED);
    const seen = new Set<string>();

    for (let k = 0; k < 50; k++) {
      const { image } = randomCrash(modelOf(scenario, 512), random, '');
      seen.add(await stateOf(image));
    }

    expect([...seen].toSorted()).toEqual([scenario.before, scenario.after].toSorted());
  });

  it.each([
    ['every barrier', () => false],
    ['the barriers behind data and banks', (barrier: number) => barrier >= 2],
  ] as const)('catches a disk that ignores %s (control)', async (_what, isEffective) => {
    const scenario = await logCommit('second', 0);

    expect(await tornOf(scenario, { isEffective }), `seed ${SEED}`).not.toEqual([]);
  });

  it('catches a disk that ignores the barrier between the slots (control)', async () => {
    const scenario = await logCommit('second', 0);
    const minEvents = scenario.events.length - 1;

    const torn = await tornOf(scenario, {
      isEffective: (barrier) => barrier !== 2,
      minEvents,
      sectorBytes: 64,
    });

    expect(torn, `seed ${SEED}`).not.toEqual([]);
  });

  it('catches a commit that writes its slots in front of its banks (control)', async () => {
    const scenario = await logCommit('second', 0);
    const slots = scenario.events.filter(
      (event) => event.kind === 'write' && event.offsetBytes < dataStartOf(0),
    );
    const rest = scenario.events.filter((event) => !slots.includes(event));

    const torn = await tornOf({ ...scenario, events: [...slots, ...rest] }, {});

    expect(torn, `seed ${SEED}`).not.toEqual([]);
  });
});
