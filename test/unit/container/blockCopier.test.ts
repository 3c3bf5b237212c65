import { Readable, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type CopiedBlock, createBlockCopier } from '../../../src/container/write/blockCopier.ts';
import { createStageStats } from '../../../src/core/stats.ts';
import type { PackedBlock, ZeroRun } from '../../../src/flow/records.ts';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { createSlab, type Slab } from '../../../src/flow/slab.ts';
import { connect } from '../../../src/flow/connect.ts';
import { createWorkerPool } from '../../../src/compute/workerPool.ts';
import { writeForeign } from '../../helpers/bytes/foreignWriter.ts';
import { expectCode } from '../../helpers/codes.ts';
import { noise, prose } from '../../helpers/bytes/random.ts';
import {
  fileOf,
  FOLDER,
  itemAt,
  openBytes,
  writeContainer,
} from '../../helpers/bytes/smallContainers.ts';

const BLOCK = 16_384;
const HALF = BLOCK / 2 + 100;
const CONTENT = Buffer.concat([noise(1, BLOCK), prose(2, BLOCK), noise(3, BLOCK), prose(4, BLOCK)]);

/**
 * The blocks of a container with {@link CONTENT}. Each counts with its first `validBytes`, in a
 * block of `lengthBytes`.
 */
async function blocksOf(
  content: Uint8Array,
  { validBytes = BLOCK, lengthBytes = BLOCK } = {},
): Promise<CopiedBlock[]> {
  const [reader, codecs] = [await openBytes(content), await createBlockCodecs()];
  const blocks: CopiedBlock[] = [];
  for await (const { index, blockId } of reader.references(
    await itemAt(reader, `${FOLDER}/disk`),
  )) {
    const offsetBytes = index * BLOCK;
    const place = { diskId: 'disk', index, offsetBytes, lengthBytes, validBytes };
    const fingerprint = codecs.fingerprint(placed(index, validBytes, lengthBytes));
    const extent = await reader.storedExtent(blockId);
    blocks.push({ kind: 'stored', ...place, reader, extent, fingerprint });
  }
  return blocks;
}

function placed(index: number, validBytes: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  CONTENT.copy(bytes, 0, index * BLOCK, index * BLOCK + validBytes);
  return bytes;
}

async function container(): Promise<Buffer> {
  const disks = [fileOf('disk', CONTENT, BLOCK)];
  return (await writeContainer({ blockSizeBytes: BLOCK, disks })).content;
}

interface Copied {
  readonly record: PackedBlock | ZeroRun;
  /** Stored form with its padding. */
  readonly bytes: Buffer;
}

/** Copies the records with one slot of each class. */
async function copy(records: readonly (CopiedBlock | ZeroRun)[], slab: Slab): Promise<Copied[]> {
  await using pool = await createWorkerPool({ slab, workers: 0 });
  const lease = slab.lease('unpack');
  const copied: Copied[] = [];
  const sink = new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(record: PackedBlock | ZeroRun, _encoding, done) {
      const room = record.kind === 'packed' ? Math.ceil(record.storedBytes / 4096) * 4096 : 0;
      const bytes =
        record.kind === 'packed'
          ? Buffer.from(record.slot.bytes.subarray(0, room))
          : Buffer.alloc(0);
      copied.push({ record, bytes });
      if (record.kind === 'packed') record.slot.release();
      done();
    },
  });
  try {
    const copier = createBlockCopier({ pool, lease, stats: createStageStats() });
    await connect(Readable.from(records), [copier], sink, { signal: new AbortController().signal });
  } finally {
    lease.end();
  }
  return copied;
}

function smallestSlab(): Slab {
  return createSlab({ blockSizeBytes: BLOCK, slabBytes: 2 * BLOCK });
}

describe('a block that fills its place', () => {
  it('is copied as it is stored, between the zeros beside it', async () => {
    const content = await container();
    const [first, ...others] = await blocksOf(content);
    const zero: ZeroRun = {
      kind: 'zero',
      diskId: 'disk',
      index: 9,
      offsetBytes: 0,
      lengthBytes: BLOCK,
      blockCount: 1,
    };

    const copied = await copy(first ? [first, zero, ...others] : [], smallestSlab());

    expect(copied.map(({ record }) => record.index)).toEqual([0, 9, 1, 2, 3]);
    const stored = [first, ...others].map((block) => block?.extent);
    for (const [k, { record, bytes }] of copied
      .filter((one) => one.record.kind === 'packed')
      .entries()) {
      const { offsetBytes = 0, storedBytes, codec } = stored[k] ?? {};
      expect(record).toMatchObject({ storedBytes, codec });
      expect(bytes).toEqual(content.subarray(offsetBytes, offsetBytes + bytes.length));
    }
  });
});

describe('a block that does not fill its place', () => {
  it.each([
    ['cut', HALF, HALF],
    ['extended', HALF, BLOCK],
  ])('is %s and packed anew', async (_how, validBytes, lengthBytes) => {
    const blocks = await blocksOf(await container(), { validBytes, lengthBytes });
    const codecs = await createBlockCodecs();

    const copied = await copy(blocks, smallestSlab());

    for (const [index, { record, bytes }] of copied.entries()) {
      if (record.kind !== 'packed') expect.unreachable('a zero run');
      const { codec, storedBytes, digest } = record as PackedBlock;
      const plain = Buffer.alloc(lengthBytes);
      expect(codecs.unpack(bytes.subarray(0, storedBytes), codec, plain)).toBe(0);
      expect(plain).toEqual(placed(index, validBytes, lengthBytes));
      expect(Buffer.from(digest)).toEqual(codecs.digest(plain));
      expect(bytes.subarray(storedBytes).every((byte) => byte === 0)).toBe(true);
    }
    expect(copied).toHaveLength(4);
  });
});

describe('a block in a form that we only read', () => {
  it('is packed anew', async () => {
    const plain = prose(2, BLOCK);
    const blocks = new Map([[0, { plain, method: 'zlib' } as const]]);
    const disk = { name: 'disk', kind: 'file', sizeBytes: BLOCK, blocks } as const;
    const folders = [{ name: FOLDER, items: [disk] }];
    const content = writeForeign({ blockSizeBytes: BLOCK, slotFormat: 0, folders });
    const [block] = await blocksOf(content);
    const codecs = await createBlockCodecs();
    const fingerprint = codecs.fingerprint(plain);

    const [copied] = (await copy(block ? [{ ...block, fingerprint }] : [], smallestSlab())) as [
      Copied,
    ];

    expect(block?.extent.codec).toBe('zlib');
    const { codec, storedBytes } = copied.record as PackedBlock;
    const target = Buffer.alloc(BLOCK);
    expect(codec).toBe('lz4');
    expect(codecs.unpack(copied.bytes.subarray(0, storedBytes), codec, target)).toBe(0);
    expect(target.equals(plain)).toBe(true);
  });
});

describe('a block that is damaged', () => {
  it.each([
    ['in its plain bytes', 0, 'INTEGRITY_DIGEST_MISMATCH'],
    ['in its LZ4 header', 1, 'INTEGRITY_DECODE_FAILED'],
  ] as const)('%s ends the copy, and no slot is lost', async (_where, index, code) => {
    const content = Buffer.from(await container());
    const blocks = await blocksOf(content);
    const at = blocks[index]?.extent.offsetBytes ?? 0;
    content[at] = (content[at] ?? 0) ^ 1;
    const slab = smallestSlab();

    await expectCode(copy(await blocksOf(content), slab), code);

    expect(slab.inUseCount).toBe(0);
  });

  it.each([
    ['a whole one', BLOCK],
    ['a cut one', HALF],
  ])(
    'or sound, but another one than its place holds, ends the copy (%s)',
    async (_what, lengthBytes) => {
      const blocks = await blocksOf(await container(), { validBytes: lengthBytes, lengthBytes });
      const other = blocks.map((block) => ({ ...block, fingerprint: block.fingerprint + 1n }));

      await expectCode(copy(other, smallestSlab()), 'INTEGRITY_FINGERPRINT_MISMATCH');
    },
  );
});
