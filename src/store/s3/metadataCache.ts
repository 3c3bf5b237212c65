/**
 * Copies of the first and the last bytes of objects, in a folder of this machine. Any trouble with
 * it counts as if a copy were not there.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { crc32c } from '../../core/crc32.ts';
import { GIB } from '../../core/units.ts';

const MAX_BYTES = GIB;
const NAME = /^[0-9a-f]{64}\.(?:head|tail)(?:\.[0-9a-f-]{36}\.partial)?$/;
/** CRC-32C of all that follows, and the offset of the first byte in the object. */
const HEADER_BYTES = 12;
/** A copy that is used gets a new time, but not at each use. */
const TOUCH_AFTER_MS = 3_600_000;

export interface CachedBytes {
  readonly startBytes: number;
  readonly bytes: Buffer;
}

/** What identifies the bytes of an object. */
export interface CacheSubject {
  readonly url: string;
  readonly etag: string;
  readonly sizeBytes: number;
}

export class MetadataCache {
  readonly #folder: string;
  readonly #maxBytes: number;
  #isReady = false;

  constructor(folder: string, maxBytes: number = MAX_BYTES) {
    this.#folder = folder;
    this.#maxBytes = maxBytes;
  }

  #fileOf({ url, etag, sizeBytes }: CacheSubject, kind: 'head' | 'tail'): string {
    const id = createHash('sha256')
      .update(JSON.stringify([url, etag, sizeBytes]))
      .digest('hex');
    return path.join(this.#folder, `${id}.${kind}`);
  }

  async load(subject: CacheSubject, kind: 'head' | 'tail'): Promise<CachedBytes | undefined> {
    const file = this.#fileOf(subject, kind);
    try {
      const { mtimeMs, size } = await stat(file);
      if (size > this.#maxBytes) return undefined;
      const content = await readFile(file);
      const bytes = content.subarray(HEADER_BYTES);
      if (crc32c(content.subarray(4)) !== content.readUInt32LE(0)) return undefined;
      const startBytes = Number(content.readBigUInt64LE(4));
      if (startBytes + bytes.length > subject.sizeBytes) return undefined;
      const now = new Date();
      if (now.getTime() - mtimeMs > TOUCH_AFTER_MS) await utimes(file, now, now);
      return { startBytes, bytes };
    } catch {
      return undefined;
    }
  }

  async save(subject: CacheSubject, kind: 'head' | 'tail', copy: CachedBytes): Promise<void> {
    const file = this.#fileOf(subject, kind);
    const partial = `${file}.${randomUUID()}.partial`;
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeBigUInt64LE(BigInt(copy.startBytes), 4);
    header.writeUInt32LE(crc32c(copy.bytes, crc32c(header.subarray(4))), 0);
    try {
      if (!this.#isReady) await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      this.#isReady = true;
      await writeFile(partial, Buffer.concat([header, copy.bytes]), { mode: 0o600, flag: 'wx' });
      await rename(partial, file);
    } catch {
      await rm(partial, { force: true }).catch(() => {});
    }
  }

  /** Deletes the oldest copies that are too many. Never throws. */
  async trim(): Promise<void> {
    if (!this.#isReady) return;
    try {
      await this.#trim();
    } catch {
      // The next session tries again.
    }
  }

  async #trim(): Promise<void> {
    const files: { file: string; size: number; mtimeMs: number }[] = [];
    for (const name of await readdir(this.#folder)) {
      if (!NAME.test(name)) continue;
      const file = path.join(this.#folder, name);
      const { size, mtimeMs } = await stat(file);
      files.push({ file, size, mtimeMs });
    }
    let totalBytes = files.reduce((sum, { size }) => sum + size, 0);
    for (const { file, size } of files.sort((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (totalBytes <= this.#maxBytes) return;
      await rm(file, { force: true });
      totalBytes -= size;
    }
  }
}
