/** Calls of QEMU's tools, for images, bitmaps, guest writes and exports over NBD. */
import { execFileSync, spawnSync, type StdioOptions } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ServerProgram } from '../servers.ts';

const EXPORT_TIMEOUT_MS = 10_000;
/** Most clients of one qemu-nbd. vdsm sets 8, the most that imageio opens. */
const SHARED_CLIENTS = 8;
/** Bytes for which a dirty bitmap has one bit. 64 KiB is QEMU's default for qcow2. */
export const GRANULARITY_BYTES = 65_536;

export type ImageFormat = 'qcow2' | 'raw';

export interface ImageFile {
  readonly path: string;
  readonly format: ImageFormat;
}

export interface QemuBitmap {
  readonly name: string;
  readonly isRecording: boolean;
  /** Left "in use" by a crash. QEMU can only remove such a bitmap. */
  readonly isBroken: boolean;
}

/** A range of `qemu-img map`. */
export interface MappedRange {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
  readonly zero: boolean;
  /** Number of the layer that holds the range: 0 is the top one. */
  readonly depth: number;
  /** False when no layer holds the range. */
  readonly present: boolean;
}

function run(tool: string, args: readonly string[]): string {
  const stdio: StdioOptions = ['ignore', 'pipe', 'pipe'];
  return execFileSync(tool, args, { encoding: 'utf8', stdio, maxBuffer: 1 << 28 });
}

export function qemuImg(...args: readonly string[]): string {
  return run('qemu-img', args);
}

/** A new path in `folder`, such as `disk-1a2b3c4d.qcow2`. */
export function newImagePath(folder: string, name: string, suffix: string): string {
  return path.join(folder, `${name}-${randomUUID().slice(0, 8)}.${suffix}`);
}

/** Copies the present content of an image, with its layers below, into a sparse raw file. */
export function copyOut({ path: from, format }: ImageFile, to: string): void {
  qemuImg('convert', '-U', '-f', format, '-O', 'raw', from, to);
}

export function bitmapsOf({ path, format }: ImageFile): QemuBitmap[] {
  if (format === 'raw') return [];
  const info = JSON.parse(qemuImg('info', '-U', '--output=json', '-f', format, path)) as {
    'format-specific': {
      data: { bitmaps?: readonly { name: string; flags: readonly string[] }[] };
    };
  };
  return (info['format-specific'].data.bitmaps ?? []).map(({ name, flags }) => ({
    name,
    isRecording: flags.includes('auto'),
    isBroken: flags.includes('in-use'),
  }));
}

/** Adds an empty bitmap to the qcow2 image `file`. */
export function addBitmap(file: string, name: string, { isRecording = true } = {}): void {
  const state = isRecording ? [] : ['--disable'];
  qemuImg('bitmap', '--add', ...state, '-g', String(GRANULARITY_BYTES), file, name);
}

/** Adds the dirty ranges of a bitmap of `from` to the bitmap `target` of the qcow2 image `file`. */
export function mergeBitmap(from: ImageFile, name: string, file: string, target: string): void {
  qemuImg('bitmap', '--merge', name, '-b', from.path, '-F', from.format, file, target);
}

/** Runs commands of qemu-io on an image. Every recording bitmap records the writes. */
export function qemuIo({ path, format }: ImageFile, ...commands: readonly string[]): void {
  const args = commands.flatMap((command) => ['-c', command]);
  const output = run('qemu-io', ['-d', 'unmap', '-f', format, ...args, path]);
  if (/failed|error|invalid/i.test(output)) throw new Error(`qemu-io ${commands[0]}: ${output}`);
}

export function guestWrite(image: ImageFile, offsetBytes: number, bytes: Uint8Array): void {
  const file = `${image.path}.${randomUUID().slice(0, 8)}`;
  writeFileSync(file, bytes);
  try {
    qemuIo(image, `write -q -s ${file} ${offsetBytes} ${bytes.length}`);
  } finally {
    rmSync(file);
  }
}

/** Kills a process that has the image open for writing, as a crash of the host does. */
export function crashWriter({ path, format }: ImageFile): void {
  const commands = ['-c', 'read -q 0 512', '-c', 'sleep 60000'];
  const options = { timeout: 500, killSignal: 'SIGKILL' } as const;
  spawnSync('qemu-io', ['-f', format, ...commands, path], options);
}

/** Extents of an image, or of an export over NBD, by QEMU's own reading and not by imageio's. */
export function mapOf(...imageArgs: readonly string[]): MappedRange[] {
  return JSON.parse(qemuImg('map', '--output=json', ...imageArgs)) as MappedRange[];
}

/** Bytes that the top layer of an image holds. */
export function ownBytes({ path, format }: ImageFile): number {
  const ranges = mapOf('-U', '-f', format, path);
  const own = ranges.filter(({ depth, present }) => depth === 0 && present);
  return own.reduce((sum, { length }) => sum + length, 0);
}

/** The export over NBD that a ticket names. */
export interface NbdServer {
  /** For imageio. */
  readonly url: string;
  readonly bitmap: string | undefined;
  /** @param bitmap - shows the dirty ranges of this bitmap, as ranges without data */
  map(bitmap?: string): MappedRange[];
  /** Called after the ticket was removed. */
  stop(): Promise<void>;
}

function mapExport(server: string, bitmap: string | undefined): MappedRange[] {
  const context = bitmap === undefined ? '' : `,x-dirty-bitmap=qemu:dirty-bitmap:${bitmap}`;
  return mapOf('--image-opts', `driver=nbd,server.type=unix,${server}${context}`);
}

/** An export of a guest's own QEMU. It lives as long as the backup, so `stop` does nothing. */
export class GuestExport implements NbdServer {
  readonly bitmap: string | undefined;
  readonly #socketPath: string;
  readonly #name: string;

  constructor(socketPath: string, name: string, bitmap: string | undefined) {
    this.#socketPath = socketPath;
    this.#name = name;
    this.bitmap = bitmap;
  }

  get url(): string {
    return `nbd:unix:${this.#socketPath}:exportname=${this.#name}`;
  }

  map(bitmap?: string): MappedRange[] {
    return mapExport(`server.path=${this.#socketPath},export=${this.#name}`, bitmap);
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }
}

export interface NbdOptions {
  readonly image: ImageFile;
  readonly socketPath: string;
  readonly isWritable: boolean;
  readonly bitmap: string | undefined;
}

/** A running qemu-nbd, started with the options of vdsm. */
export class NbdExport implements NbdServer {
  readonly #socketPath: string;
  readonly bitmap: string | undefined;
  readonly #program: ServerProgram;

  private constructor({ socketPath, bitmap }: NbdOptions, program: ServerProgram) {
    this.#socketPath = socketPath;
    this.bitmap = bitmap;
    this.#program = program;
  }

  static async start(options: NbdOptions): Promise<NbdExport> {
    const { image, socketPath, isWritable, bitmap } = options;
    const { path: filename, format: driver } = image;
    const args = [
      `--socket=${socketPath}`,
      '--persistent',
      '--export-name=',
      `--shared=${SHARED_CLIENTS}`,
      '--cache=writeback',
      ...(isWritable ? ['--discard=unmap', '--detect-zeroes=unmap'] : ['--read-only']),
      ...(bitmap === undefined ? [] : [`--bitmap=${bitmap}`]),
      ...(driver === 'raw' ? [] : ['--allocation-depth']),
      `json:${JSON.stringify({ driver, file: { driver: 'file', filename } })}`,
    ];
    const program = new ServerProgram('qemu-nbd', args);
    await program.waitUntil(() => existsSync(socketPath), EXPORT_TIMEOUT_MS);
    return new NbdExport(options, program);
  }

  get url(): string {
    return `nbd:unix:${this.#socketPath}`;
  }

  map(bitmap?: string): MappedRange[] {
    return mapExport(`server.path=${this.#socketPath}`, bitmap);
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }
}
