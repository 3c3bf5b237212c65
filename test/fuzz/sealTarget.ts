/**
 * Fuzz target for sealed files. The seeds are kept files, because a file that is sealed again has
 * other bytes. Whatever is done to them, a reader gives their true bytes or a typed error.
 */
import { BackupError } from '../../src/core/errors.ts';
import { KeyRing } from '../../src/store/seal/keys.ts';
import { SealedFolder } from '../../src/store/seal/sealedFolder.ts';
import { sealedStartOf } from '../../src/store/seal/sealFormat.ts';
import type { Random } from '../helpers/bytes/random.ts';
import { noise } from '../helpers/bytes/random.ts';
import { MemoryFolder } from '../helpers/repository/memoryStore.ts';
import { mutateBytes, pick } from './mutate.ts';
import type { FuzzTarget } from './target.ts';

const FOLDER = 'web.00000000-0000-4000-8000-00000000000a';
const MAX_BYTES = 4 * 1024 * 1024;
const READ_BYTES = 5000;

/** The key with which the seeds were sealed. */
export function fuzzKeys(): KeyRing {
  const createdAt = '2026-11-29T00:00:00.000Z';
  return new KeyRing([{ id: '0123456789abcdef01234567', createdAt, bytes: Buffer.alloc(32, 7) }]);
}

/** Plain contents of the seeds by name. */
export const SEALED: Readonly<Record<string, Buffer>> = {
  'small.vbm': noise('seal small', 150),
  'chunks.vbk': noise('seal chunks', 4096 + 5000),
  'lines.ndjson': Buffer.from('{"step":"session"}\n{"step":"disk-starting"}\n{}\n'),
};

export function fuzzFolder(): { base: MemoryFolder; sealed: SealedFolder } {
  const base = new MemoryFolder('fuzz');
  return { base, sealed: new SealedFolder(base, FOLDER, fuzzKeys()) };
}

/** Errors of the seal and of the form are right. All others are findings. */
async function orRefused<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    const isRight =
      error instanceof BackupError && /^(?:INTEGRITY_SEAL_BROKEN|FORMAT_)/.test(error.code);
    if (isRight) return undefined;
    throw error;
  }
}

async function readAsContainer(sealed: SealedFolder, name: string, truth: Buffer): Promise<void> {
  const storage = await orRefused(sealed.openContainer(name));
  if (!storage) return;
  const sizeBytes = await storage.sizeBytes();
  for (let at = 0; at < sizeBytes; at += READ_BYTES) {
    const target = Buffer.alloc(Math.min(READ_BYTES, sizeBytes - at));
    const read = await orRefused(storage.read(target, at).then(() => true));
    if (read && !truth.subarray(at, at + target.length).equals(target)) {
      throw new Error(`wrong bytes of ${name} at ${at}`);
    }
  }
}

async function takeSealed(input: Buffer): Promise<void> {
  for (const [name, truth] of Object.entries(SEALED)) {
    const { base, sealed } = fuzzFolder();
    base.put(name, input);
    const read = await orRefused(sealed.readFile(name, MAX_BYTES));
    const isTrue = name.endsWith('.ndjson')
      ? read && truth.indexOf(read) === 0
      : read?.equals(truth);
    if (read && !isTrue) throw new Error(`wrong content of ${name}`);
    await readAsContainer(sealed, name, truth);
  }
}

/** Moves whole chunks, cuts between them, and changes bytes. */
function mutateSealed(random: Random, input: Buffer): Buffer {
  const chunk = random.below(3);
  const [from, until] = [sealedStartOf(chunk), sealedStartOf(chunk + 1)];
  switch (random.below(5)) {
    case 0:
      return Buffer.concat([input.subarray(0, from), input.subarray(until)]);
    case 1:
      return input.subarray(0, from);
    case 2:
      return Buffer.concat([input.subarray(0, until), input.subarray(from)]);
    case 3: {
      const lines = input.toString('latin1').split('\n');
      lines.splice(random.below(lines.length), random.below(2), pick(random, lines));
      return Buffer.from(lines.join('\n'), 'latin1');
    }
    default:
      return mutateBytes(random, input);
  }
}

/** Its seeds lie in fixtures/fuzz/seal, with all kept inputs. */
export function sealTarget(): FuzzTarget {
  return { name: 'seal', seeds: [], mutate: mutateSealed, take: takeSealed };
}
