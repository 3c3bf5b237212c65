import { describe, expect, it } from 'vitest';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import { walkIndex } from '../../../src/container/format/indexTree.ts';
import { DEDUP_RECORD_BYTES, FREE_RECORD_BYTES } from '../../../src/container/format/layout.ts';
import { ZERO_BLOCK_ID } from '../../../src/container/format/records.ts';
import { blockCountOf, blockLengthAt } from '../../../src/core/units.ts';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { GOLDEN, GOLDEN_KINDS, goldenBytes, goldenProperty } from '../../helpers/bytes/golden.ts';
import { itemAt, openBytes, readBlocks, readRange } from '../../helpers/bytes/smallContainers.ts';
import { sha256 } from '../../helpers/bytes/images.ts';

async function openGolden(file: string): Promise<ContainerReader> {
  return await openBytes(goldenBytes(file));
}

describe.each(GOLDEN.vectors)('golden vector $file', (vector) => {
  it('is the file that the generator wrote', () => {
    expect(sha256(goldenBytes(vector.file))).toBe(vector.container_sha256);
  });

  it('has the geometry of its description', async () => {
    const { header } = (await openGolden(vector.file)).snapshot;

    expect(header).toEqual({
      formatVersion: 13,
      slotFormat: vector.slot_format,
      blockSizeBytes: vector.block_size,
      clusterAlign: vector.cluster_align,
    });
  });

  it('lists its items with kinds, sizes and typed properties', async () => {
    const items = await (await openGolden(vector.file)).items();

    expect(
      items.map(({ path, kind, record, properties }) => {
        return { path, kind, sizeBytes: record.sizeBytes, properties };
      }),
    ).toEqual(
      vector.items.map(({ path, type, size = 0, properties }) => {
        const typed = properties?.map(goldenProperty);
        return { path, kind: GOLDEN_KINDS[type], sizeBytes: size, properties: typed };
      }),
    );
  });

  it.each(vector.items.filter((item) => item.sha256))(
    'gives the content of $path',
    async (item) => {
      const reader = await openGolden(vector.file);
      const found = await itemAt(reader, item.path);

      const content = await reader.readFile(found, item.size ?? 0, await createBlockCodecs());

      expect(sha256(content)).toBe(item.sha256);
      expect(found.record.count).toBe(blockCountOf(item.size ?? 0, vector.block_size));
    },
  );

  it.each(vector.items.filter((item) => item.probes))('gives the probes of $path', async (item) => {
    const reader = await openGolden(vector.file);
    const found = await itemAt(reader, item.path);

    for (const { offset, length, sha256: expected } of item.probes ?? []) {
      const bytes = await readRange(reader, found, { offsetBytes: offset, lengthBytes: length });
      expect(sha256(bytes), `at ${offset}`).toBe(expected);
    }
  });

  it.each(vector.items.filter((item) => item.changed_blocks))(
    'names the changed blocks of $path',
    async (item) => {
      const reader = await openGolden(vector.file);
      const found = await itemAt(reader, item.path);
      const changed = [];

      for await (const { index, blockId } of reader.references(found)) {
        changed.push({ index, sparse: blockId === ZERO_BLOCK_ID });
      }

      expect(changed).toEqual(item.changed_blocks);
    },
  );
});

describe('golden vectors with two versions or damage', () => {
  it.each(GOLDEN.vectors.filter((vector) => vector.active_slot))(
    '$file is read from slot $active_slot, version $active_version',
    async (vector) => {
      const { slotNumber, slot } = (await openGolden(vector.file)).snapshot;

      expect([slotNumber, slot.version]).toEqual([vector.active_slot, vector.active_version]);
    },
  );

  it('reports the damaged slot of g04', async () => {
    const { damage, slots } = (await openGolden('g04-slot2-damaged.vbk')).snapshot;

    expect(damage).toHaveLength(1);
    expect(slots.map((slot) => slot.state)).toEqual(['valid', 'bad checksum']);
  });

  it.each(GOLDEN.vectors.filter(({ file }) => !file.startsWith('g04')))(
    'finds no damage in $file',
    async ({ file }) => {
      expect((await openGolden(file)).snapshot.damage).toEqual([]);
    },
  );
});

describe('golden vector g09-edges.vbk', () => {
  it('lists exactly the released blocks in its free index', async () => {
    const reader = await openGolden('g09-edges.vbk');
    const { pages, slot } = reader.snapshot;
    const listed: number[] = [];

    for await (const record of walkIndex(
      (id) => pages.read(id),
      slot.roots.freeRoot,
      FREE_RECORD_BYTES,
    )) {
      listed.push(Number(record.readBigUInt64LE(4)));
    }

    expect(listed).toHaveLength(3);
    for (const blockId of listed) expect((await reader.storeBlock(blockId)).usageCount).toBe(0);
  });

  it('walks its two-level deduplication index in the order of the digests', async () => {
    const { pages, slot } = (await openGolden('g09-edges.vbk')).snapshot;
    const digests: string[] = [];

    for await (const record of walkIndex(
      (id) => pages.read(id),
      slot.roots.dedupRoot,
      DEDUP_RECORD_BYTES,
    )) {
      digests.push(record.toString('hex', 0, 16));
    }

    expect(digests).toHaveLength(181);
    expect(digests).toEqual(digests.toSorted());
  });
});

/**
 * Content of a disk at one point by the rule of the chain: the records of this file over the point
 * before it.
 */
async function compose(file: string, disk: string, before: Buffer | undefined): Promise<Buffer> {
  const reader = await openGolden(file);
  const item = await itemAt(reader, disk);
  const { blockSizeBytes } = reader;
  const content = Buffer.alloc(item.record.sizeBytes);
  if (item.kind === 'increment') before?.copy(content);
  for (const [index, bytes] of await readBlocks(reader, item, await createBlockCodecs())) {
    const at = index * blockSizeBytes;
    if (bytes !== 'zero') bytes.copy(content, at);
    else content.fill(0, at, at + blockLengthAt(index, content.length, blockSizeBytes));
  }
  return content;
}

describe('golden chain g07', () => {
  it('composes to the content of every point', async () => {
    let content: Buffer | undefined;

    for (const { file, disk, size, sha256: expected } of GOLDEN.chain.points) {
      content = await compose(file, disk, content);
      expect([content.length, sha256(content)], file).toEqual([size, expected]);
    }
  });

  it('composes to something else when the base is missing (control)', async () => {
    const point = GOLDEN.chain.points[1];

    const content = await compose(point?.file ?? '', point?.disk ?? '', undefined);

    expect(sha256(content)).not.toBe(point?.sha256);
  });
});
