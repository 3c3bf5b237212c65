import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContainerReader } from '../../src/container/read/containerReader.ts';
import {
  DIRECTORY_ITEM_BYTES,
  FIB_BLOCK_BYTES,
  ITEM_FILE,
  ITEM_FOLDER,
  ITEM_INCREMENT,
  makePageId,
  NO_PAGE,
  PATCH_BLOCK_BYTES,
  STORE_BLOCK_BYTES,
  TABLE_DESCRIPTOR_BYTES,
} from '../../src/container/format/layout.ts';
import {
  decodeProperties,
  encodeProperties,
  type Property,
} from '../../src/container/format/properties.ts';
import {
  decodeDirectoryItem,
  decodeFibBlock,
  decodePatchBlock,
  decodeStoreBlock,
  decodeTableDescriptor,
  encodeDirectoryItem,
  encodeFibBlock,
  encodePatchBlock,
  encodeStoreBlock,
  encodeTableDescriptor,
} from '../../src/container/format/records.ts';
import { createBlockCodecs } from '../../src/compute/blockCodecs.ts';
import { noise, prose } from '../helpers/random.ts';
import {
  type DiskSpec,
  FOLDER,
  hashesOf,
  itemAt,
  readBlocks,
  writeContainer,
} from '../helpers/vbk.ts';

const u32 = fc.nat({ max: 0xffff_ffff });
const size = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const digest = fc.uint8Array({ minLength: 16, maxLength: 16 });
const pageId = fc.oneof(
  fc.constant(NO_PAGE),
  fc
    .tuple(fc.nat({ max: 32_511 }), fc.nat({ max: 1023 }))
    .map(([bank, page]) => makePageId(bank, page)),
);
const name = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => {
  return Buffer.from(text).toString() === text && Buffer.byteLength(text) <= 128;
});

const property: fc.Arbitrary<Property> = fc.oneof(
  fc.record({ name, type: fc.constant('UInt32' as const), value: u32 }),
  fc.record({ name, type: fc.constant('UInt64' as const), value: fc.bigInt(0n, 2n ** 64n - 1n) }),
  fc.record({
    name,
    type: fc.constantFrom('AString' as const, 'WString' as const),
    value: fc.string({ unit: 'grapheme' }),
  }),
  fc.record({ name, type: fc.constant('Binary' as const), value: fc.uint8Array() }),
  fc.record({ name, type: fc.constant('Boolean' as const), value: fc.boolean() }),
);

function encoded<T>(
  lengthBytes: number,
  value: T,
  encode: (value: T, out: Buffer) => void,
): Buffer {
  const out = Buffer.alloc(lengthBytes);
  encode(value, out);
  return out;
}

describe('decode after encode', () => {
  it('gives back any properties', () => {
    fc.assert(
      fc.property(fc.array(property), (properties) => {
        expect(decodeProperties(encodeProperties(properties))).toEqual(properties);
      }),
    );
  });

  it('gives back any store record', () => {
    const block = fc.record({
      usageCount: u32,
      offsetBytes: size,
      allocatedBytes: u32,
      isDeduplicated: fc.boolean(),
      digest,
      compression: fc.integer({ min: -128, max: 127 }),
      storedBytes: u32,
      sourceBytes: u32,
    });

    fc.assert(
      fc.property(block, (value) => {
        const record = encoded(STORE_BLOCK_BYTES, value, encodeStoreBlock);
        expect(decodeStoreBlock(record)).toEqual(value);
      }),
    );
  });

  it('gives back any map and patch record', () => {
    const reference = fc.record({
      index: size,
      lengthBytes: u32,
      blockId: fc.oneof(fc.constant(-1), size),
      digest,
    });

    fc.assert(
      fc.property(reference, (value) => {
        const fib = encoded(FIB_BLOCK_BYTES, value, encodeFibBlock);
        const patch = encoded(PATCH_BLOCK_BYTES, value, encodePatchBlock);
        expect(decodeFibBlock(fib, value.index)).toEqual(value);
        expect(decodePatchBlock(patch)).toEqual(value);
      }),
    );
  });

  it('gives back any table descriptor', () => {
    const table = fc.record({ vectorRoot: pageId, blockSizeBytes: size, blockCount: size });

    fc.assert(
      fc.property(table, (value) => {
        const record = encoded(TABLE_DESCRIPTOR_BYTES, value, encodeTableDescriptor);
        expect(decodeTableDescriptor(record)).toEqual(value);
      }),
    );
  });

  it('gives back any directory item', () => {
    const common = { name, propertiesRoot: pageId, vectorRoot: pageId, count: size };
    const zero = fc.constant(0);
    const item = fc.oneof(
      fc.record({ ...common, type: fc.constant(ITEM_FOLDER), sizeBytes: zero, patchedBytes: zero }),
      fc.record({ ...common, type: fc.constant(ITEM_FILE), sizeBytes: size, patchedBytes: zero }),
      fc.record({
        ...common,
        type: fc.constant(ITEM_INCREMENT),
        sizeBytes: size,
        patchedBytes: size,
      }),
    );

    fc.assert(
      fc.property(item, (value) => {
        const record = encoded(DIRECTORY_ITEM_BYTES, value, encodeDirectoryItem);
        expect(decodeDirectoryItem(record)).toEqual(value);
      }),
    );
  });
});

/** Content of a block. There are few seeds, so that blocks repeat. */
const blockContent = fc.record({
  form: fc.constantFrom('noise', 'prose', 'zero'),
  seed: fc.nat({ max: 5 }),
});

interface DiskModel {
  readonly kind: 'file' | 'increment';
  readonly blockCount: number;
  readonly tailBytes: number;
  readonly blocks: ReadonlyMap<number, { readonly form: string; readonly seed: number }>;
}

/** A disk of up to three tables with a few blocks, in ascending order. */
const diskModel: fc.Arbitrary<DiskModel> = fc
  .record({
    kind: fc.constantFrom('file' as const, 'increment' as const),
    blockCount: fc.integer({ min: 1, max: 3000 }),
    tailBytes: fc.integer({ min: 1, max: 4096 }),
    picks: fc.array(fc.tuple(fc.nat({ max: 10_000 }), blockContent), { maxLength: 12 }),
  })
  .map(({ picks, ...model }) => {
    const sorted = picks
      .map(([pick, content]) => [pick % model.blockCount, content] as const)
      .toSorted(([a], [b]) => a - b);
    return { ...model, blocks: new Map(sorted) };
  });

function diskOf(model: DiskModel, index: number, blockSizeBytes: number): DiskSpec {
  const tailBytes = Math.min(model.tailBytes, blockSizeBytes);
  const sizeBytes = (model.blockCount - 1) * blockSizeBytes + tailBytes;
  const blocks = Array.from(model.blocks, ([at, { form, seed }]) => {
    const lengthBytes = at === model.blockCount - 1 ? tailBytes : blockSizeBytes;
    const zero = form === 'zero';
    const bytes = form === 'noise' ? noise(seed, lengthBytes) : prose(seed, lengthBytes);
    return [at, zero ? Buffer.alloc(lengthBytes) : bytes] as const;
  });
  return { name: `disk-${index}`, kind: model.kind, sizeBytes, blocks: new Map(blocks) };
}

/**
 * Blocks that the reader must give. A file names no zero blocks; an increment names them as zeros.
 */
function expectedBlocks(disk: DiskSpec): Map<number, Buffer | 'zero'> {
  const blocks = Array.from(disk.blocks, ([index, bytes]): [number, Buffer | 'zero'] => [
    index,
    bytes.some((byte) => byte !== 0) ? bytes : 'zero',
  ]);
  return new Map(blocks.filter(([, bytes]) => disk.kind === 'increment' || bytes !== 'zero'));
}

describe('read after write', () => {
  it('gives back the blocks of any disks', async () => {
    const codecs = await createBlockCodecs();
    const geometry = {
      blockSizeBytes: fc.constantFrom(512, 4096, 8192, 65_536),
      slotFormat: fc.constantFrom(0, 5, 9),
    };
    const models = fc.array(diskModel, { minLength: 1, maxLength: 4 });

    await fc.assert(
      fc.asyncProperty(fc.record({ ...geometry, models }), async (spec) => {
        const { blockSizeBytes, slotFormat } = spec;
        const disks = spec.models.map((model, index) => diskOf(model, index, blockSizeBytes));
        const storage = await writeContainer({ blockSizeBytes, slotFormat, disks });
        const reader = await ContainerReader.open(storage);
        for (const disk of disks) {
          const item = await itemAt(reader, `${FOLDER}/${disk.name}`);
          expect(item.record.sizeBytes).toBe(disk.sizeBytes);
          const blocks = await readBlocks(reader, item, codecs);
          expect(hashesOf(blocks)).toEqual(hashesOf(expectedBlocks(disk)));
        }
      }),
      { numRuns: 60 },
    );
  });
});
