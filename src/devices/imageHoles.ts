/**
 * Asks qemu-img for the holes of a raw image, because Node cannot ask the system. Any answer that
 * is not a whole and consistent map is refused; the image is then read completely.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { addAbortSignal, type Readable } from 'node:stream';
import { z } from 'zod';
import { KIB } from '../core/units.ts';

/** A range that the file system does not store. It reads as zeros. */
export interface Hole {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** An open image. */
export interface HoleSearch {
  readonly fileDescriptor: number;
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
  /** @defaultValue one minute. A map takes about 4 s for a million ranges. */
  readonly timeLimitMs?: number;
}

const TIME_LIMIT_MS = 60_000;
/** Size of the smallest block. A smaller hole covers no block, so it saves no read. */
const MIN_HOLE_BYTES = 256 * KIB;
/** Bounds the memory to about 12 MB. Later holes are read like data. */
const MAX_HOLES = 2 ** 18;
/** A line of a map has about 130 characters. */
const MAX_LINE_CHARS = 4096;
/** qemu-img rounds the size of a file up to whole sectors. */
const SECTOR_BYTES = 512;

/**
 * The child has the open image as descriptor 3, so it maps this file, whatever its path names by
 * now. The format is given: otherwise a header that a guest wrote would be interpreted. Without
 * locks, the map works on the image of a running VM and never keeps a VM from starting.
 */
const ARGUMENTS: readonly string[] = [
  'map',
  '-U',
  '--output=json',
  '--image-opts',
  'driver=raw,file.driver=file,file.filename=/dev/fd/3,file.locking=off',
];

/** One line of the map. @see QEMU docs/tools/qemu-img.rst, "map" */
const rangeSchema = z.object({
  start: z.number().int().nonnegative(),
  length: z.number().int().positive(),
  zero: z.boolean(),
});

class MapParser {
  readonly #sizeBytes: number;
  readonly #holes: Hole[] = [];
  #nextBytes = 0;
  #rest = '';

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
  }

  /** @throws when a line is no range of a map, or does not begin where the one before ends */
  async takeAll(output: Readable): Promise<void> {
    for await (const chunk of output.setEncoding('utf8')) {
      const lines = `${this.#rest}${chunk}`.split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.#takeLine(line);
      if (this.#rest.length > MAX_LINE_CHARS) throw new Error('a line is too long');
    }
    this.#takeLine(this.#rest);
  }

  /** @throws when the map does not end where the file ends */
  finish(): readonly Hole[] {
    if (this.#nextBytes < this.#sizeBytes) throw new Error('the map ends too early');
    return this.#holes;
  }

  #takeLine(line: string): void {
    if (line.length > MAX_LINE_CHARS) throw new Error('a line is too long');
    const text = line.replaceAll(/^[\s[,]+|[\s\],]+$/g, '');
    if (text === '') return;
    const { data: range } = rangeSchema.safeParse(JSON.parse(text));
    if (!range) throw new Error('a line is no range of a map');
    const { start, length, zero } = range;
    if (start !== this.#nextBytes) throw new Error(`gap or overlap at ${start} B`);
    this.#nextBytes += length;
    if (this.#nextBytes >= this.#sizeBytes + SECTOR_BYTES)
      throw new Error(`a range ends beyond the file, at ${this.#nextBytes} B`);
    if (zero) this.#addHole(start, Math.min(this.#nextBytes, this.#sizeBytes));
  }

  #addHole(offsetBytes: number, endBytes: number): void {
    const lengthBytes = endBytes - offsetBytes;
    if (lengthBytes < MIN_HOLE_BYTES || this.#holes.length === MAX_HOLES) return;
    this.#holes.push({ offsetBytes, lengthBytes });
  }
}

/** A child that hangs in the kernel cannot be killed. It must not keep this process alive. */
function stop(child: ChildProcess): void {
  child.on('error', () => {});
  child.kill('SIGKILL');
  child.stdout?.destroy();
  child.unref();
}

/**
 * Finds the holes of at least 256 KiB, in ascending order without overlap.
 *
 * @throws when qemu-img is missing, fails, is too slow, or prints no map of exactly this file;
 *   also after an abort of `signal`. qemu-img has then been killed.
 */
export async function findHoles(search: HoleSearch): Promise<readonly Hole[]> {
  const { fileDescriptor, sizeBytes, timeLimitMs = TIME_LIMIT_MS } = search;
  const signal = AbortSignal.any([search.signal, AbortSignal.timeout(timeLimitMs)]);
  signal.throwIfAborted();
  const child = spawn('qemu-img', ARGUMENTS, {
    stdio: ['ignore', 'pipe', 'ignore', fileDescriptor],
  });
  try {
    const map = new MapParser(sizeBytes);
    const ended = once(child, 'exit', { signal });
    // Without a free file descriptor, the child has no output.
    const { stdout } = child;
    const taken = stdout && map.takeAll(addAbortSignal(signal, stdout));
    const [[exitCode]] = await Promise.all([ended, taken]);
    if (exitCode !== 0) throw new Error(`qemu-img ended with ${exitCode ?? 'a signal'}`);
    return map.finish();
  } finally {
    stop(child);
  }
}
