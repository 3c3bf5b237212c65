import { constants } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { wasm } from '../../../src/compute/kernels/wasm.ts';
import { BulkWriter, type OpenDirect } from '../../../src/core/fileWrites.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const PAGE_BYTES = 4096;
const temp = useTempFolder();

/** Bytes of a slab: its memory begins at a page. */
function slabBytes(fromBytes: number, lengthBytes: number, letter: string): Buffer {
  const memory = new wasm.Memory({ initial: 2, maximum: 2, shared: true });
  return Buffer.from(memory.buffer, fromBytes, lengthBytes).fill(letter);
}

/** Pages of letters, one piece each. */
const pages = (letters: string): Buffer[] =>
  Array.from(letters, (letter) => slabBytes(PAGE_BYTES, PAGE_BYTES, letter));

interface Recorded {
  readonly openDirect: OpenDirect;
  /** Offsets of writes that bypass the cache. */
  readonly offsets: number[];
  isClosed: boolean;
}

/** A second handle that writes like the first one, or fails with `errno`. */
function record(errno?: string): Recorded {
  const offsets: number[] = [];
  const recorded: Recorded = {
    offsets,
    isClosed: false,
    openDirect: async (file) => {
      const direct = {
        writev: async (pieces: readonly Uint8Array[], at: number) => {
          if (errno) throw Object.assign(new Error(errno), { code: errno });
          offsets.push(at);
          return await file.writev(pieces, at);
        },
        close: async () => {
          recorded.isClosed = true;
          await Promise.resolve();
        },
      };
      return await Promise.resolve(direct as unknown as FileHandle);
    },
  };
  return recorded;
}

async function writeTo(
  work: (writer: BulkWriter) => Promise<void>,
  openDirect?: OpenDirect,
): Promise<string> {
  const path = temp.path('file');
  const file = await open(path, 'wx+');
  const writer = new BulkWriter(file, openDirect);
  try {
    await work(writer);
  } finally {
    await writer.close();
    await file.close();
  }
  return (await readFile(path, 'latin1')).replaceAll(/(.)\1*/gs, '$1');
}

describe('bulk writes', () => {
  it('put pages of a slab at their place', async () => {
    const text = await writeTo(async (writer) => {
      await writer.write(pages('cd'), 2 * PAGE_BYTES);
      await writer.write(pages('ab'), 0);
    });

    expect(text).toBe('abcd');
  });

  it('mix both ways in one file', async () => {
    const { openDirect, offsets } = record();
    const text = await writeTo(async (writer) => {
      await writer.write(pages('ab'), 0);
      await writer.write([Buffer.from('tail')], 2 * PAGE_BYTES);
      await writer.write(pages('z'), PAGE_BYTES);
    }, openDirect);

    expect(text).toBe('aztail');
    expect(offsets).toEqual([0, PAGE_BYTES]);
  });

  it.each<[string, Buffer, number]>([
    ['memory of another kind', Buffer.alloc(PAGE_BYTES, 'x'), 0],
    ['memory between two pages', slabBytes(512, PAGE_BYTES, 'x'), 0],
    ['a part of a page', slabBytes(0, PAGE_BYTES - 512, 'x'), 0],
    ['an offset between two pages', slabBytes(0, PAGE_BYTES, 'x'), 512],
  ])('take the usual way for %s', async (_what, piece, offsetBytes) => {
    const { openDirect, offsets } = record();
    const text = await writeTo(async (writer) => {
      await writer.write([...pages('y'), piece], offsetBytes);
    }, openDirect);

    expect(text.replace('\0', '')).toBe('yx');
    expect(offsets).toEqual([]);
  });

  it.each(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'])(
    'take the usual way after %s, and stay there',
    async (errno) => {
      const { openDirect, offsets } = record(errno);
      const text = await writeTo(async (writer) => {
        await writer.write(pages('ab'), 0);
        await writer.write(pages('c'), 2 * PAGE_BYTES);
      }, openDirect);

      expect(text).toBe('abc');
      expect(offsets).toEqual([]);
    },
  );

  it.each(['ENOSPC', 'EIO'])('fail with %s of the system', async (errno) => {
    const { openDirect } = record(errno);

    await expect(writeTo((writer) => writer.write(pages('a'), 0), openDirect)).rejects.toThrow(
      errno,
    );
  });

  it('close their own handle, and leave the given one open', async () => {
    const recorded = record();
    const file = await open(temp.path('file'), 'wx+');
    const writer = new BulkWriter(file, recorded.openDirect);
    await writer.write(pages('a'), 0);

    await writer.close();

    expect(recorded.isClosed).toBe(true);
    expect((await file.stat()).size).toBe(PAGE_BYTES);
    await file.close();
  });

  it.each([
    ['may only read', constants.O_RDONLY, 'EBADF'],
    ['appends', constants.O_WRONLY | constants.O_APPEND, undefined],
  ])('allow no more than a handle that %s', async (_what, flags, errno) => {
    const path = temp.path('file');
    await (await open(path, 'w')).close();
    const file = await open(path, flags);
    const writer = new BulkWriter(file);

    const failure = await writer.write(pages('b'), 2 * PAGE_BYTES).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => error.code,
    );

    expect(failure).toBe(errno);
    // Linux writes at the end of such a file, whatever the offset says.
    expect((await file.stat()).size).toBe(errno ? 0 : PAGE_BYTES);
    await writer.close();
    await file.close();
  });
});
