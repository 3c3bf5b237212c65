/** Shows the structure of one container file, ours or foreign. Reads metadata only, no block. */
import { stat } from 'node:fs/promises';
import { ContainerReader } from '../../container/read/containerReader.ts';
import type { ItemKind } from '../../container/format/items.ts';
import type { Property, PropertyType } from '../../container/format/properties.ts';
import { type BlockStoreRow, compressionName } from '../../container/format/records.ts';
import type { SlotReport } from '../../container/read/snapshotReader.ts';
import { openStorage } from '../../store/folder/fileStorage.ts';
import { checkStructure } from '../../container/read/structureCheck.ts';
import { checkLength } from '../../container/format/snapshotSlots.ts';
import { FormatError, UsageError } from '../../core/errors.ts';

export interface InspectOptions {
  /** A .vbk or .vib file. */
  readonly file: string;
}

export interface InspectedItem {
  readonly path: string;
  readonly kind: ItemKind;
  readonly sizeBytes: number;
  /** Blocks of a file, patch records of an increment, children of a folder. */
  readonly count: number;
  /** Bytes that the patch records of an increment cover. */
  readonly patchedBytes: number;
  readonly properties: readonly {
    readonly name: string;
    readonly type: PropertyType;
    /** Binary values as hexadecimal text, UInt64 as decimal text. */
    readonly value: string | number | boolean;
  }[];
}

export interface InspectReport {
  readonly type: 'inspect';
  readonly file: string;
  readonly fileBytes: number;
  readonly endOfFileBytes: number;
  readonly formatVersion: number;
  readonly slotFormat: number;
  readonly blockSizeBytes: number;
  readonly activeSlot: number;
  readonly version: number;
  readonly slots: readonly SlotReport[];
  readonly bankCount: number;
  readonly metadataPages: number;
  readonly storedBlocks: number;
  readonly freeExtents: number;
  readonly sharedBlocks: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  /** Stored blocks by compression: `plain`, `lz4`, `zlib`, `zstd`, `RLE`, `encrypted`. */
  readonly compressions: Readonly<Record<string, number>>;
  readonly items: readonly InspectedItem[];
  /** Inconsistencies, and damage that did not stop the reader. Empty for a sound file. */
  readonly problems: readonly string[];
}

function plainValue(property: Property): string | number | boolean {
  const { value } = property;
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}

/** The general hint for format errors names this command. */
function withOtherHint(error: unknown): unknown {
  if (!(error instanceof FormatError) || !error.hint.includes('ovirt-cbt inspect')) return error;
  const { code, message, details } = error;
  const hint = 'restore the file from a copy if there is one';
  return new FormatError(code, message, { cause: error, details, hint });
}

/**
 * @throws a {@link BackupError}: `USAGE_NOT_FOUND`; format and integrity codes when no snapshot of
 *   the container can be read
 */
export async function inspectContainer({ file }: InspectOptions): Promise<InspectReport> {
  const info = await stat(file).catch((error: unknown) => {
    throw new UsageError('USAGE_NOT_FOUND', `${file} does not exist or cannot be reached`, {
      cause: error,
      hint: 'name a .vbk or .vib file',
    });
  });
  if (info.isFile()) checkLength(file, info.size);
  return await inspectReadable(file).catch((error: unknown) => {
    throw withOtherHint(error);
  });
}

function countForm(counts: Record<string, number>, block: BlockStoreRow): void {
  const name = block.isEncrypted ? 'encrypted' : compressionName(block.compression);
  counts[name] = (counts[name] ?? 0) + 1;
}

async function inspectReadable(file: string): Promise<InspectReport> {
  const reader = await ContainerReader.open(await openStorage(file, 'read'));
  try {
    const items = await reader.items();
    const { snapshot } = reader;
    const totals = { freeExtents: 0, sharedBlocks: 0, storedBytes: 0, plainBytes: 0 };
    const compressions: Record<string, number> = {};
    for (let blockId = 0; blockId < reader.store.count; blockId++) {
      const block = await reader.storeBlock(blockId);
      if (block.usageCount === 0) totals.freeExtents++;
      else countForm(compressions, block);
      if (block.usageCount > 1) totals.sharedBlocks++;
      totals.storedBytes += block.storedBytes;
      totals.plainBytes += block.sourceBytes;
    }
    return {
      type: 'inspect',
      file,
      fileBytes: snapshot.fileBytes,
      endOfFileBytes: snapshot.slot.endOfFileBytes,
      formatVersion: snapshot.header.formatVersion,
      slotFormat: snapshot.header.slotFormat,
      blockSizeBytes: snapshot.header.blockSizeBytes,
      activeSlot: snapshot.slotNumber,
      version: snapshot.slot.version,
      slots: snapshot.slots,
      bankCount: snapshot.slot.banks.length,
      metadataPages: snapshot.pages.totalPages,
      storedBlocks: reader.store.count,
      ...totals,
      compressions,
      items: items.map(({ path, kind, properties, record }) => ({
        path,
        kind,
        sizeBytes: record.sizeBytes,
        count: record.count,
        patchedBytes: record.patchedBytes,
        properties: (properties ?? []).map((property) => ({
          name: property.name,
          type: property.type,
          value: plainValue(property),
        })),
      })),
      problems: [...snapshot.damage, ...(await checkStructure(reader, items))],
    };
  } finally {
    await reader.close();
  }
}
