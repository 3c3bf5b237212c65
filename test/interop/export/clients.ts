/** Debian's own clients of NBD. All calls block. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { newImagePath, qemuImg } from '../qemu/qemu.ts';
import { ServerProgram } from '../servers.ts';

const START_TIMEOUT_MS = 20_000;
const MAX_OUTPUT_BYTES = 1 << 28;

/** A range of `base:allocation`. */
export interface Range {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly zero: boolean;
}

export interface ExportFacts {
  readonly name: string;
  readonly sizeBytes: number;
  readonly isReadOnly: boolean;
}

/** Runs a program. @throws an Error with its output when it fails */
export function run(tool: string, ...args: readonly string[]): string {
  return execFileSync(tool, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: MAX_OUTPUT_BYTES,
  });
}

/** All exports of the server of an address. */
export function listExports(uri: string): ExportFacts[] {
  const server = uri.replace(/^(nbd\+unix:\/\/\/)[^?]*/, '$1');
  const { exports } = JSON.parse(run('nbdinfo', '--json', '--list', server)) as {
    exports: { 'export-name': string; 'export-size': number; is_read_only: boolean }[];
  };
  return exports.map((one) => ({
    name: one['export-name'],
    sizeBytes: one['export-size'],
    isReadOnly: one.is_read_only,
  }));
}

const HOLE_AND_ZERO = 3;

export function nbdinfoMap(uri: string): Range[] {
  const ranges = JSON.parse(run('nbdinfo', '--json', '--map', uri)) as {
    offset: number;
    length: number;
    type: number;
  }[];
  return ranges.map(({ offset, length, type }) => {
    if (type !== 0 && type !== HOLE_AND_ZERO) throw new Error(`a range of type ${type}`);
    return { offsetBytes: offset, lengthBytes: length, zero: type === HOLE_AND_ZERO };
  });
}

export function qemuMap(uri: string): Range[] {
  const ranges = JSON.parse(qemuImg('map', '--output=json', '-f', 'raw', uri)) as {
    start: number;
    length: number;
    zero: boolean;
  }[];
  return ranges.map(({ start, length, zero }) => ({
    offsetBytes: start,
    lengthBytes: length,
    zero,
  }));
}

/** Blocks of an image that are not zeros, by their numbers. */
export function dataBlocks(image: string, sizeBytes: number, blockBytes: number): Set<number> {
  const zeros = Buffer.alloc(blockBytes);
  const block = Buffer.alloc(blockBytes);
  const found = new Set<number>();
  const file = openSync(image, 'r');
  for (let index = 0; index * blockBytes < sizeBytes; index++) {
    const length = readSync(file, block, 0, blockBytes, index * blockBytes);
    if (!block.subarray(0, length).equals(zeros.subarray(0, length))) found.add(index);
  }
  closeSync(file);
  return found;
}

/** The file that `nbdfuse` makes of an export, while `work` runs. */
export async function withFuse(
  folder: string,
  uri: string,
  work: (file: string) => void,
): Promise<void> {
  const mount = newImagePath(folder, 'mount', 'fuse');
  mkdirSync(mount);
  const file = path.join(mount, 'nbd');
  const fuse = new ServerProgram('nbdfuse', [mount, uri]);
  try {
    await fuse.waitUntil(() => existsSync(file), START_TIMEOUT_MS);
    work(file);
  } finally {
    run('fusermount3', '-u', mount);
    await fuse.stop();
  }
}

/** The address of an overlay of nbdkit over an export, while `work` runs. */
export async function withCow(
  folder: string,
  uri: string,
  work: (uri: string) => void,
): Promise<void> {
  const socket = newImagePath(folder, 'cow', 's');
  const args = ['-f', '-U', socket, '--filter=cow', 'nbd', `uri=${uri}`];
  const nbdkit = new ServerProgram('nbdkit', args);
  try {
    await nbdkit.waitUntil(() => existsSync(socket), START_TIMEOUT_MS);
    work(`nbd+unix:///?socket=${socket}`);
  } finally {
    await nbdkit.stop();
  }
}
