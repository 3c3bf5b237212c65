/** Long runs of chunks are sealed in a thread: same bytes as without it, whatever comes between. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { KeyRing, newRepositoryKey } from '../../../../src/store/seal/keys.ts';
import { CHUNK_BYTES, sealedSizeOf } from '../../../../src/store/seal/sealFormat.ts';
import { SealedReader } from '../../../../src/store/seal/sealedReader.ts';
import { SealedWriter } from '../../../../src/store/seal/sealedWriter.ts';
import { createRandom, noise, type Random } from '../../../helpers/bytes/random.ts';
import { StoredContainer } from '../../../helpers/repository/memoryStore.ts';

const PLACE = { file: 'web.vbk', folder: 'web', fileName: 'web.vbk' };
/** The smallest ring holds one job and a page: the writer must wait for room. */
const OPTIONS = { startChunks: 2, ringBytes: 1_179_648 };

/** Takes the bytes late, as a disk does, and fails at one of its writes. */
class SlowContainer extends StoredContainer {
  failAt = -1;
  heldBytes = 0;
  mostHeldBytes = 0;
  readonly #random: Random;
  #count = 0;

  constructor(seed: number, canReadBack: boolean) {
    super(PLACE.file, Buffer.alloc(0), canReadBack);
    this.#random = createRandom(seed);
  }

  override async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.heldBytes += bytes;
    this.mostHeldBytes = Math.max(this.mostHeldBytes, this.heldBytes);
    const isBad = this.#count++ === this.failAt;
    for (let k = this.#random.below(6); k > 0; k--) await nextTurn();
    this.heldBytes -= bytes;
    if (isBad) throw new Error('no space left');
    await super.write(pieces, offsetBytes);
  }
}

interface Rig {
  readonly below: SlowContainer;
  readonly writer: SealedWriter;
  readonly readAll: () => Promise<Buffer>;
}

async function rigOf(seed: number, canReadBack = true): Promise<Rig> {
  const below = new SlowContainer(seed, canReadBack);
  const keys = new KeyRing([newRepositoryKey()]);
  const writer = await SealedWriter.create(below, keys, PLACE, OPTIONS);
  const readAll = async (): Promise<Buffer> => {
    const reader = await SealedReader.open(below, keys, PLACE);
    const plain = Buffer.alloc(await reader.sizeBytes());
    await reader.read(plain, 0);
    return plain;
  };
  return { below, writer, readAll };
}

function shared(bytes: Buffer): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** Appends with two writes in flight. The bytes of a piece change when its write has settled. */
async function append(writer: SealedWriter, content: Buffer, random: Random): Promise<void> {
  const writing: Promise<void>[] = [];
  for (let at = 0; at < content.length; ) {
    const end = Math.min(content.length, at + 1 + random.below(700_000));
    const middle = at + random.below(end - at);
    const first = shared(content.subarray(at, middle));
    const second = Buffer.from(content.subarray(middle, end));
    const done = writer.write([first, second], at).then(() => {
      first.fill(1);
      second.fill(2);
    });
    writing.push(done);
    done.catch(() => {});
    if (writing.length >= 2) await writing.at(-2);
    at = end;
  }
  await Promise.all(writing);
}

const CONTENT = noise('stream', 6_000_000);

describe.each([true, false])('a long run, read back: %s', (canReadBack) => {
  it('gives the same bytes, and each is written once', async () => {
    for (let seed = 0; seed < 6; seed++) {
      const { below, writer, readAll } = await rigOf(seed, canReadBack);
      await append(writer, CONTENT, createRandom(seed));
      await writer.close();

      expect((await readAll()).equals(CONTENT), `seed ${seed}`).toBe(true);
      expect(below.content).toHaveLength(sealedSizeOf(CONTENT.length));
      const ends = below.writes.map(({ offsetBytes, bytes }) => offsetBytes + bytes.length);
      const total = below.writes.reduce((sum, { bytes }) => sum + bytes.length, 0);
      expect(Math.max(...ends)).toBe(below.content.length);
      expect(total - below.content.length).toBe(0);
    }
  });
});

describe('a run', () => {
  it('goes to the file in whole pages of shared memory', async () => {
    const { below, writer } = await rigOf(1);
    let alignedBytes = 0;
    const write = below.write.bind(below);
    below.write = async (pieces, offsetBytes) => {
      const isAligned = pieces.every(
        ({ buffer, byteOffset, length }) =>
          buffer instanceof SharedArrayBuffer && byteOffset % 4096 === 0 && length % 4096 === 0,
      );
      if (isAligned && offsetBytes % 4096 === 0) {
        alignedBytes += pieces.reduce((sum, { length }) => sum + length, 0);
      }
      await write(pieces, offsetBytes);
    };
    await append(writer, CONTENT, createRandom(1));
    await writer.close();

    expect(alignedBytes).toBeGreaterThan(CONTENT.length - 4 * CHUNK_BYTES);
  });

  it('holds no more bytes than its ring', async () => {
    const { below, writer } = await rigOf(2);
    await writer.write([shared(CONTENT)], 0);
    await writer.close();

    expect(below.mostHeldBytes).toBeLessThanOrEqual(OPTIONS.ringBytes);
  });

  it('may be broken by syncs, reads, gaps and rewrites in any order', async () => {
    for (let seed = 0; seed < 8; seed++) {
      const random = createRandom(seed);
      const { writer, readAll } = await rigOf(seed);
      const model = Buffer.alloc(9_000_000);
      let size = 0;
      for (let k = 0; k < 25; k++) {
        const choice = random.below(10);
        const bytes = random.bytes(1 + random.below(choice < 6 ? 600_000 : 90_000));
        const gap = choice === 6 ? random.below(300_000) : 0;
        const at = choice <= 6 ? size + gap : random.below(Math.max(1, size));
        if (at + bytes.length > model.length) break;
        bytes.copy(model, at);
        size = Math.max(size, at + bytes.length);
        await writer.write([random.below(2) === 0 ? shared(bytes) : bytes], at);
        if (random.below(4) === 0) await writer.sync();
        if (random.below(3) > 0) continue;
        const read = Buffer.alloc(random.below(Math.min(size, 400_000)));
        const from = random.below(size - read.length);
        await writer.read(read, from);
        expect(read.equals(model.subarray(from, from + read.length)), `${seed} ${k}`).toBe(true);
      }
      await writer.close();
      expect((await readAll()).equals(model.subarray(0, size)), `seed ${seed}`).toBe(true);
    }
  });

  it('is on the file after a sync', async () => {
    const { below, writer } = await rigOf(3);
    await writer.write([shared(CONTENT)], 0);
    await writer.sync();

    expect(below.content).toHaveLength(sealedSizeOf(CONTENT.length));
    await writer.close();
  });

  it('tells the first error of any write below, and closes', async () => {
    for (let failAt = 1; failAt < 12; failAt++) {
      const { below, writer } = await rigOf(failAt);
      below.failAt = failAt;
      const work = async (): Promise<void> => {
        await append(writer, CONTENT, createRandom(7));
        await writer.sync();
      };
      const error = await work().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error, `write ${failAt}`).toMatchObject({ message: 'no space left' });
      await writer.close().catch(() => {});
      expect(below.isClosed).toBe(true);
      expect(below.heldBytes).toBe(0);
    }
  });
});
