/** Bad sectors: when one place cannot be read, the copy elsewhere must still be used. */
import { describe, expect, it } from 'vitest';
import { ContainerReader } from '../../../src/container/read/containerReader.ts';
import { PAGE_BYTES, slotOffsetOf } from '../../../src/container/format/layout.ts';
import { RepositoryError } from '../../../src/core/errors.ts';
import { expectCode } from '../../helpers/codes.ts';
import { MemoryStorage } from '../../helpers/bytes/memoryStorage.ts';
import { contentsOf, fileOf, writeContainer } from '../../helpers/bytes/smallContainers.ts';

const BLOCK_SIZE_BYTES = 4096;

/** A storage whose bytes `[from, to)` cannot be read. */
class WornStorage extends MemoryStorage {
  readonly #from: number;
  readonly #to: number;

  constructor(content: Uint8Array, from: number, to: number) {
    super(content);
    this.#from = from;
    this.#to = to;
  }

  override async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    if (offsetBytes < this.#to && offsetBytes + target.length > this.#from) {
      throw new RepositoryError('REPOSITORY_IO', 'read: EIO', { details: { errno: 'EIO' } });
    }
    await super.read(target, offsetBytes);
  }
}

async function container(): Promise<Buffer> {
  const disk = fileOf('disk', Buffer.alloc(3 * BLOCK_SIZE_BYTES, 'content '), BLOCK_SIZE_BYTES);
  const { content } = await writeContainer({
    blockSizeBytes: BLOCK_SIZE_BYTES,
    slotFormat: 0,
    disks: [disk],
  });
  return content;
}

async function firstBankOffset(content: Uint8Array): Promise<number> {
  const reader = await ContainerReader.open(new MemoryStorage(content));
  return reader.snapshot.slot.banks[0]?.offsetBytes ?? 0;
}

describe('a container with a bad sector', () => {
  it('in slot 1 is read by slot 2', async () => {
    const content = await container();
    const worn = new WornStorage(content, slotOffsetOf(0, 0), slotOffsetOf(0, 0) + 512);

    const reader = await ContainerReader.open(worn);

    expect(reader.snapshot.slotNumber).toBe(2);
    expect(reader.snapshot.damage).toEqual(['snapshot slot 1: unreadable']);
  });

  it('in a bank is read by the copy of the bank', async () => {
    const content = await container();
    const bankOffset = await firstBankOffset(content);
    const worn = new WornStorage(content, bankOffset + PAGE_BYTES, bankOffset + PAGE_BYTES + 1);

    const reader = await ContainerReader.open(worn);

    expect(reader.snapshot.damage).toHaveLength(1);
    expect(await contentsOf(worn)).toEqual(await contentsOf(new MemoryStorage(content)));
  });

  it('in both slots is refused', async () => {
    const content = await container();
    const worn = new WornStorage(content, slotOffsetOf(0, 0), slotOffsetOf(0, 1) + 512);

    await expectCode(ContainerReader.open(worn), 'REPOSITORY_IO');
  });
});
