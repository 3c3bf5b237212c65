/** Metadata pages without a container around them. */
import { MetadataWriter } from '../../../src/container/write/metadataWriter.ts';
import { PAGE_BYTES } from '../../../src/container/format/layout.ts';
import { PageReader } from '../../../src/container/read/pageReader.ts';
import type { BankDescriptor } from '../../../src/container/format/snapshotSlots.ts';
import { MemoryStorage } from './memoryStorage.ts';

export const METADATA_START = 8 * PAGE_BYTES;

export interface WrittenMetadata<T> {
  readonly result: T;
  readonly storage: MemoryStorage;
  readonly banks: readonly BankDescriptor[];
  readonly pages: PageReader;
  readonly endBytes: number;
}

/** Lets `work` write metadata, finishes the banks and opens their pages. */
export async function writeMetadata<T>(
  work: (writer: MetadataWriter) => Promise<T>,
  options: { readonly maxBanks?: number; readonly reservedPages?: number } = {},
): Promise<WrittenMetadata<T>> {
  const { maxBanks = 248, reservedPages = 0 } = options;
  const storage = new MemoryStorage();
  const writer = new MetadataWriter(storage, METADATA_START, maxBanks, reservedPages);
  const result = await work(writer);
  const { banks, endBytes } = await writer.finish();
  const open = banks.map(({ offsetBytes }) => {
    const head = storage.content.subarray(offsetBytes, offsetBytes + PAGE_BYTES);
    const pageCount = head.readUInt16LE(0);
    return { offsetBytes, pageCount, pageMap: head.subarray(4, 4 + pageCount) };
  });
  return { result, storage, banks, pages: new PageReader(storage, open), endBytes };
}

/** Pages as they are, in one bank with any number of them. */
export function pagesOf(images: readonly Buffer[]): PageReader {
  const storage = new MemoryStorage(Buffer.concat([Buffer.alloc(PAGE_BYTES), ...images]));
  const pageCount = images.length;
  return new PageReader(storage, [{ offsetBytes: 0, pageCount, pageMap: Buffer.alloc(pageCount) }]);
}
