/** QEMU's own tools as the lab's backend calls them: images, bitmaps, guest writes, exports over NBD. */
import {
  type ChildProcess,
  execFileSync,
  spawn,
  spawnSync,
  type StdioOptions,
} from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const EXPORT_TIMEOUT_MS = 10_000;
const POLL_MS = 10;
/** As vdsm starts it: imageio's clients are as many. */
const SHARED_CLIENTS = 8;

export type ImageFormat = 'qcow2' | 'raw';

export interface ImageFile {
  readonly path: string;
  readonly format: ImageFormat;
}

export interface QemuBitmap {
  readonly name: string;
  readonly isRecording: boolean;
  /** In use after a crash: it can neither be read nor repaired. */
  readonly isBroken: boolean;
}

/** A range as `qemu-img map` tells it. */
export interface MappedRange {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
  readonly zero: boolean;
  /** Layers below the top one. */
  readonly depth: number;
  /** False where no layer has anything. */
  readonly present: boolean;
}

function run(tool: string, args: readonly string[]): string {
  const stdio: StdioOptions = ['ignore', 'pipe', 'pipe'];
  return execFileSync(tool, args, { encoding: 'utf8', stdio, maxBuffer: 1 << 28 });
}

export function qemuImg(...args: readonly string[]): string {
  return run('qemu-img', args);
}

export function qemuVersion(): string {
  return /version (\S+)/.exec(qemuImg('--version'))?.[1] ?? '';
}

/** A whole raw copy of what QEMU reads from an image at this moment; sparse. */
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

/** Commands of qemu-io, run on an image as its guest would: all recording bitmaps see them. */
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

/** What a host crash does: a process that has the image open for writing is killed. */
export function crashWriter({ path, format }: ImageFile): void {
  const commands = ['-c', 'read -q 0 512', '-c', 'sleep 60000'];
  const options = { timeout: 500, killSignal: 'SIGKILL' } as const;
  spawnSync('qemu-io', ['-f', format, ...commands, path], options);
}

/** What QEMU says about an image or, over NBD, about an export; independent of imageio's own reading. */
export function mapOf(...imageArgs: readonly string[]): MappedRange[] {
  return JSON.parse(qemuImg('map', '--output=json', ...imageArgs)) as MappedRange[];
}

/** Bytes that an image holds itself, whatever lies below it. */
export function ownBytes({ path, format }: ImageFile): number {
  const ranges = mapOf('-U', '-f', format, path);
  const own = ranges.filter(({ depth, present }) => depth === 0 && present);
  return own.reduce((sum, { length }) => sum + length, 0);
}

/** What a ticket is given: an export over NBD. */
export interface NbdServer {
  /** As imageio is told it. */
  readonly url: string;
  readonly bitmap: string | undefined;
  /** @param bitmap - shows that one's dirty ranges, as ranges without data. */
  map(bitmap?: string): MappedRange[];
  /** The ticket is gone. */
  stop(): Promise<void>;
}

function mapExport(server: string, bitmap: string | undefined): MappedRange[] {
  const context = bitmap === undefined ? '' : `,x-dirty-bitmap=qemu:dirty-bitmap:${bitmap}`;
  return mapOf('--image-opts', `driver=nbd,server.type=unix,${server}${context}`);
}

/** An export of a guest's own QEMU, which begins and ends with the backup. */
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

/** A running qemu-nbd, with the options of vdsm. */
export class NbdExport implements NbdServer {
  readonly #socketPath: string;
  readonly bitmap: string | undefined;
  readonly #child: ChildProcess;

  private constructor({ socketPath, bitmap }: NbdOptions, child: ChildProcess) {
    this.#socketPath = socketPath;
    this.bitmap = bitmap;
    this.#child = child;
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
    const child = spawn('qemu-nbd', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let complaint = '';
    child.stderr.on('data', (text) => (complaint += String(text)));
    const startedAtMs = performance.now();
    while (!existsSync(socketPath)) {
      const isLate = performance.now() - startedAtMs > EXPORT_TIMEOUT_MS;
      if (child.exitCode !== null || isLate) throw new Error(`qemu-nbd: ${complaint}`);
      await sleep(POLL_MS);
    }
    return new NbdExport(options, child);
  }

  get url(): string {
    return `nbd:unix:${this.#socketPath}`;
  }

  map(bitmap?: string): MappedRange[] {
    return mapExport(`server.path=${this.#socketPath}`, bitmap);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exited;
  }
}
