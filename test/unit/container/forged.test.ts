import { beforeAll, describe, expect, it } from 'vitest';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import {
  decodeStoreBlock,
  encodeStoreBlock,
  type BlockStoreRow,
} from '../../../src/container/format/records.ts';
import { checkStructure } from '../../../src/container/read/structureCheck.ts';
import type { ErrorCode } from '../../../src/core/errors.ts';
import { expectCode } from '../../helpers/codes.ts';
import { Forgery } from '../../helpers/bytes/forgery.ts';
import { noise, prose } from '../../helpers/bytes/random.ts';
import {
  contentsOf,
  type DiskSpec,
  fileOf,
  incrementOf,
  writeContainer,
} from '../../helpers/bytes/smallContainers.ts';

const PROMPT = { timeout: 5000 };
const BLOCK = 16_384;
const HUGE = 2n ** 40n;
let sound: Buffer;

beforeAll(async () => {
  const properties = [{ name: 'Text', type: 'AString', value: 'x'.repeat(5000) }] as const;
  const content = Buffer.concat([prose(1, BLOCK), noise(2, BLOCK), noise(3, 100)]);
  const patches = [0, 5].map((index) => [index, noise(index, BLOCK)] as const);
  const disks = [
    { ...fileOf('disk', content, BLOCK), properties },
    incrementOf('changes', 9 * BLOCK, patches),
  ];
  sound = (await writeContainer({ blockSizeBytes: BLOCK, disks })).content;
});

/** Places of the metadata in the sound container. */
function locate(forgery: Forgery) {
  const folder = forgery.dataPage(forgery.roots.directoryRoot);
  const children = Number(forgery.page(folder).readBigInt64LE(0x94));
  const items = forgery.dataPage(children);
  const itemPage = forgery.page(items);
  const tables = forgery.dataPage(Number(itemPage.readBigInt64LE(0x98)));
  const fibRoot = Number(forgery.page(tables).readBigInt64LE(0));
  return {
    folder,
    children,
    items,
    properties: Number(itemPage.readBigInt64LE(0x88)),
    tables,
    fibRoot,
    fibs: forgery.dataPage(fibRoot),
    patches: forgery.dataPage(Number(itemPage.readBigInt64LE(192 + 0x98))),
    storeRoot: forgery.roots.storeRoot,
    store: forgery.dataPage(forgery.roots.storeRoot),
  };
}

type Place = keyof ReturnType<typeof locate>;

async function expectForged(
  change: (forgery: Forgery, place: ReturnType<typeof locate>) => unknown,
  code: ErrorCode,
): Promise<void> {
  const forgery = new Forgery(sound);
  change(forgery, locate(forgery));
  await expectCode(contentsOf(forgery.seal()), code);
}

/** One forged field of a page in each row: title, page, edit, expected code. */
type PageRow = readonly [string, Place, (page: Buffer) => unknown, ErrorCode];

const VECTOR_ROWS: readonly PageRow[] = [
  [
    'a store table that follows itself',
    'storeRoot',
    (p) => p.writeBigInt64LE(1n, 0),
    'FORMAT_STRUCTURE',
  ],
  [
    'a store table with a foreign self id',
    'storeRoot',
    (p) => p.writeBigInt64LE(9n, 8),
    'FORMAT_STRUCTURE',
  ],
  [
    'a store data page out of range',
    'storeRoot',
    (p) => p.writeBigInt64LE(99n, 16),
    'FORMAT_BOUNDS',
  ],
  [
    'a store data page of a missing bank',
    'storeRoot',
    (p) => p.writeBigInt64LE(7n << 32n, 16),
    'FORMAT_BOUNDS',
  ],
  [
    'a store data page that is free',
    'storeRoot',
    (p) => p.writeBigInt64LE(31n, 16),
    'FORMAT_BOUNDS',
  ],
  [
    'a file map vector without a page',
    'fibRoot',
    (p) => p.writeBigInt64LE(-1n, 16),
    'FORMAT_BOUNDS',
  ],
  [
    'a folder whose table follows itself',
    'children',
    (p) => p.copy(p, 0, 8, 16),
    'FORMAT_STRUCTURE',
  ],
];

const ITEM_ROWS: readonly PageRow[] = [
  [
    'a folder that is its own child',
    'folder',
    (p) => p.writeBigInt64LE(0n, 0x94),
    'FORMAT_STRUCTURE',
  ],
  ['more children than pages', 'folder', (p) => p.writeBigUInt64LE(HUGE, 0x9c), 'FORMAT_BOUNDS'],
  ['a count above 2^53', 'folder', (p) => p.writeBigUInt64LE(2n ** 63n, 0x9c), 'FORMAT_BOUNDS'],
  ['an empty name', 'items', (p) => p.writeUInt32LE(0, 4), 'FORMAT_STRUCTURE'],
  ['a name of 129 bytes', 'items', (p) => p.writeUInt32LE(129, 4), 'FORMAT_STRUCTURE'],
  ['a name with a slash', 'items', (p) => p.write('..//', 8), 'FORMAT_STRUCTURE'],
  ['properties on no page', 'items', (p) => p.writeBigInt64LE(77n, 0x88), 'FORMAT_BOUNDS'],
  [
    'properties longer than all pages',
    'properties',
    (p) => p.writeUInt32LE(2 ** 31, 8),
    'FORMAT_BOUNDS',
  ],
  ['properties that go on', 'properties', (p) => p.writeUInt32LE(5, 8), 'FORMAT_STRUCTURE'],
  [
    'properties of an unknown type',
    'properties',
    (p) => p.writeUInt32LE(9, 12),
    'FORMAT_STRUCTURE',
  ],
  ['a file larger than its count', 'items', (p) => p.writeBigUInt64LE(HUGE, 0xa8), 'FORMAT_BOUNDS'],
  [
    'a file with more blocks than its size',
    'items',
    (p) => p.writeBigUInt64LE(HUGE, 0xa0),
    'FORMAT_BOUNDS',
  ],
  [
    'a file whose map needs more pages than there are',
    'items',
    (p) => [p.writeBigUInt64LE(HUGE, 0xa0), p.writeBigUInt64LE(HUGE * BigInt(BLOCK), 0xa8)],
    'FORMAT_BOUNDS',
  ],
  [
    'an increment with more records than pages',
    'items',
    (p) => p.writeBigUInt64LE(HUGE, 192 + 0xa0),
    'FORMAT_BOUNDS',
  ],
];

const MAP_ROWS: readonly PageRow[] = [
  ['a table with too few entries', 'tables', (p) => p.writeBigUInt64LE(2n, 16), 'FORMAT_BOUNDS'],
  [
    'a table with too many entries',
    'tables',
    (p) => p.writeBigUInt64LE(1089n, 16),
    'FORMAT_BOUNDS',
  ],
  ['a table on no page', 'tables', (p) => p.writeBigInt64LE(-2n, 0), 'FORMAT_BOUNDS'],
  ['a block id behind the store', 'fibs', (p) => p.writeBigUInt64LE(5n, 0x15), 'FORMAT_BOUNDS'],
  ['a block id above 2^53', 'fibs', (p) => p.writeBigUInt64LE(2n ** 60n, 0x15), 'FORMAT_BOUNDS'],
  ['a block of another length', 'fibs', (p) => p.writeUInt32LE(BLOCK - 1, 0), 'FORMAT_BOUNDS'],
  ['a block of 4 GiB', 'fibs', (p) => p.writeUInt32LE(0xffff_ffff, 0), 'FORMAT_BOUNDS'],
  ['an archived block', 'fibs', (p) => p.writeUInt8(3, 4), 'FORMAT_UNSUPPORTED'],
  ['an encrypted block', 'fibs', (p) => p.writeUInt8(1, 0x1e), 'FORMAT_UNSUPPORTED'],
  [
    'a map that names another block',
    'fibs',
    (p) => p.writeBigUInt64LE(1n, 0x15),
    'INTEGRITY_DIGEST_MISMATCH',
  ],
  ['a map with another digest', 'fibs', (p) => p.writeUInt8(0, 5 + 3), 'INTEGRITY_DIGEST_MISMATCH'],
  [
    'a patch behind the end of the disk',
    'patches',
    (p) => p.writeBigUInt64LE(9n, 53 + 0x1d),
    'FORMAT_BOUNDS',
  ],
  ['a patch at 2^60', 'patches', (p) => p.writeBigUInt64LE(2n ** 60n, 0x1d), 'FORMAT_BOUNDS'],
  [
    'two patches for one block',
    'patches',
    (p) => p.writeBigUInt64LE(0n, 53 + 0x1d),
    'FORMAT_STRUCTURE',
  ],
];

describe.each([
  ['vectors', VECTOR_ROWS],
  ['items', ITEM_ROWS],
  ['maps', MAP_ROWS],
] as const)('forged %s', (_kind, rows) => {
  it.each(rows)('refuse %s', PROMPT, async (_what, place, edit, code) => {
    await expectForged((forgery, places) => forgery.editPage(places[place], edit), code);
  });
});

describe('forged slots', () => {
  it.each([
    ['more store entries than pages', { storeCount: 2 ** 40 }, 'FORMAT_BOUNDS'],
    ['a store root on no page', { storeRoot: 99 }, 'FORMAT_BOUNDS'],
    ['a directory root on no page', { directoryRoot: -1 }, 'FORMAT_STRUCTURE'],
    ['more root items than pages', { directoryCount: 2 ** 40 }, 'FORMAT_BOUNDS'],
  ] as const)('refuse %s', PROMPT, async (_what, change, code) => {
    await expectForged((forgery) => forgery.editRoots(change), code);
  });

  it.each([
    ['an end in front of the banks', { endOfFileBytes: 4096 }],
    ['a bank behind the end', { banks: [{ crc: 0, offsetBytes: 2 ** 40, sizeBytes: 139_264 }] }],
    ['a bank in the slots', { banks: [{ crc: 0, offsetBytes: 4096, sizeBytes: 139_264 }] }],
    [
      'a bank that is not aligned',
      { banks: [{ crc: 0, offsetBytes: 12_289, sizeBytes: 139_264 }] },
    ],
    ['a bank of 4 GiB', { banks: [{ crc: 0, offsetBytes: 12_288, sizeBytes: 0xffff_f000 }] }],
    ['a bank without pages', { banks: [{ crc: 0, offsetBytes: 12_288, sizeBytes: 8192 }] }],
  ])('refuse %s', PROMPT, async (_what, change) => {
    const edit = (forgery: Forgery) => forgery.editSlots((slot) => ({ ...slot, ...change }));
    await expectForged(edit, 'INTEGRITY_CRC_MISMATCH');
  });

  it('refuse banks that share their bytes', PROMPT, async () => {
    await expectForged(
      (forgery) =>
        forgery.editSlots((slot) => ({ ...slot, banks: [...slot.banks, ...slot.banks] })),
      'INTEGRITY_CRC_MISMATCH',
    );
  });

  it('take a container for cut off that ends in front of its end', PROMPT, async () => {
    await expectForged(
      (forgery) => forgery.editSlots((slot) => ({ ...slot, endOfFileBytes: 2 ** 40 })),
      'FORMAT_TRUNCATED',
    );
  });

  it.each([0, 31, 33, 1025, 65_535])(
    'refuse a bank that claims %i pages',
    PROMPT,
    async (pages) => {
      await expectForged((forgery) => {
        for (const copy of [0, 1]) {
          const { offsetBytes, sizeBytes } = forgery.slot.banks[0] ?? {
            offsetBytes: 0,
            sizeBytes: 0,
          };
          forgery.bytes.writeUInt16LE(pages, offsetBytes + copy * sizeBytes);
        }
      }, 'INTEGRITY_CRC_MISMATCH');
    },
  );
});

describe('a forged map whose tables share their pages', () => {
  const TABLE = 1088;
  const TABLES = 100;
  const SMALL_BLOCK = 4096;

  /**
   * A disk with two tables that claims a hundred. All except two of them are the first one again.
   */
  async function forgeEndlessDisk(): Promise<Forgery> {
    const blocks = [0, TABLE].map((index) => [index, noise(index, SMALL_BLOCK)] as const);
    const sizeBytes = 2 * TABLE * SMALL_BLOCK;
    const disk: DiskSpec = { name: 'disk', kind: 'file', sizeBytes, blocks: new Map(blocks) };
    const { content } = await writeContainer({ blockSizeBytes: SMALL_BLOCK, disks: [disk] });
    const forgery = new Forgery(content);
    const { items, tables } = locate(forgery);
    forgery.editPage(items, (page) => {
      page.writeBigUInt64LE(BigInt(TABLES * TABLE), 0xa0);
      page.writeBigUInt64LE(BigInt(TABLES * TABLE * SMALL_BLOCK), 0xa8);
    });
    return forgery.editPage(tables, (page) => {
      for (let table = 2; table < TABLES; table++) page.copy(page, 24 * table, 0, 24);
    });
  }

  it('is refused before it has been read to its end', PROMPT, async () => {
    await expectCode(contentsOf((await forgeEndlessDisk()).seal()), 'FORMAT_BOUNDS');
  });

  it('is named by the check of the structure', PROMPT, async () => {
    const reader = await ContainerReader.open((await forgeEndlessDisk()).seal());

    const problems = await checkStructure(reader, await reader.items());

    expect(problems.join()).toContain('needs more pages than there are');
  });
});

describe('forged store records', () => {
  it.each<[string, (block: BlockStoreRow) => Partial<BlockStoreRow>, ErrorCode]>([
    ['a place behind the end', () => ({ offsetBytes: 2 ** 40 }), 'FORMAT_BOUNDS'],
    ['a place in the slots', () => ({ offsetBytes: 4096 }), 'FORMAT_BOUNDS'],
    ['a place that is not aligned', (b) => ({ offsetBytes: b.offsetBytes + 512 }), 'FORMAT_BOUNDS'],
    ['no room', () => ({ allocatedBytes: 0, storedBytes: 0 }), 'FORMAT_BOUNDS'],
    ['4 GiB of room', () => ({ allocatedBytes: 0xffff_f000 }), 'FORMAT_BOUNDS'],
    ['more bytes than room', (b) => ({ storedBytes: b.allocatedBytes + 1 }), 'FORMAT_BOUNDS'],
    ['a source above the block size', () => ({ sourceBytes: BLOCK + 1 }), 'FORMAT_BOUNDS'],
    ['fewer bytes than an LZ4 header', () => ({ storedBytes: 12 }), 'FORMAT_BOUNDS'],
    ['no users', () => ({ usageCount: 0 }), 'FORMAT_BOUNDS'],
    ['an unknown compression', () => ({ compression: 5 }), 'FORMAT_UNSUPPORTED'],
    ['RLE', () => ({ compression: 2 }), 'FORMAT_UNSUPPORTED'],
    ['zlib that is none', () => ({ compression: 3 }), 'INTEGRITY_DECODE_FAILED'],
    ['zstd that is none', () => ({ compression: 8 }), 'INTEGRITY_DECODE_FAILED'],
    ['plain bytes of another length', () => ({ compression: -1 }), 'FORMAT_BOUNDS'],
    ['a shorter source', () => ({ sourceBytes: BLOCK - 1 }), 'INTEGRITY_DECODE_FAILED'],
    ['an empty source', () => ({ sourceBytes: 0 }), 'INTEGRITY_DECODE_FAILED'],
    ['fewer LZ4 bytes', (b) => ({ storedBytes: b.storedBytes - 1 }), 'INTEGRITY_DECODE_FAILED'],
    ['another digest', () => ({ digest: noise(1, 16) }), 'INTEGRITY_DIGEST_MISMATCH'],
  ])('with %s are refused', PROMPT, async (_what, change, code) => {
    await expectForged((forgery, { store }) => {
      forgery.editPage(store, (page) => {
        const block = decodeStoreBlock(page.subarray(0, 60)) as BlockStoreRow;
        encodeStoreBlock({ ...block, ...change(block) }, page.subarray(0, 60));
      });
    }, code);
  });

  it('of an unknown format are refused', PROMPT, async () => {
    await expectForged(
      (forgery, { store }) => forgery.editPage(store, (page) => page.writeUInt8(5, 0)),
      'FORMAT_STRUCTURE',
    );
  });
});

describe('forged LZ4 blocks', () => {
  it.each<[string, (stored: Buffer) => unknown, ErrorCode]>([
    ['another magic', (s) => s.writeUInt8(0, 0), 'INTEGRITY_DECODE_FAILED'],
    ['a source of 4 GiB', (s) => s.writeUInt32LE(0xffff_ffff, 8), 'INTEGRITY_DECODE_FAILED'],
    ['an empty source', (s) => s.writeUInt32LE(0, 8), 'INTEGRITY_DECODE_FAILED'],
    ['another CRC', (s) => s.writeUInt8((s[4] ?? 0) ^ 1, 4), 'INTEGRITY_CRC_MISMATCH'],
    ['literals without end', (s) => s.fill(0xff, 12, 200), 'INTEGRITY_DECODE_FAILED'],
    ['a match in front of the start', (s) => s.fill(0x0f, 12, 40), 'INTEGRITY_DECODE_FAILED'],
  ])('with %s are refused', PROMPT, async (_what, edit, code) => {
    const reader = await ContainerReader.open(new Forgery(sound).seal());
    const at = (await reader.storedExtent(0)).offsetBytes;

    await expectForged((forgery) => edit(forgery.bytes.subarray(at, at + 4096)), code);
  });
});
