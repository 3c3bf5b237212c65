/**
 * A guest in QEMU's software emulation: Debian's kernel with our own init. The init writes into the
 * file systems of its disks until the guest is switched off, or it replays their journals. All
 * calls block, except `stop`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { ImageFile } from '../qemu/qemu.ts';
import { qmp, type QmpCommand } from './qmp.ts';

const BOOT_TIMEOUT_MS = 120_000;
const ROUND_TIMEOUT_MS = 60_000;
const POLL_MS = 10;

export interface GuestDrive {
  /** Also the name of the block node. */
  readonly name: string;
  readonly image: ImageFile;
}

export interface GuestOptions {
  /** For console and monitor. The path must be short: socket paths are limited to 107 bytes. */
  readonly folder: string;
  /** Kernel and initial RAM disk, made by build.sh. */
  readonly bootFolder: string;
  /** In the order of their names in the guest: vda, vdb … */
  readonly drives: readonly GuestDrive[];
}

/** The files that a guest found in a file system after it had replayed the journal. */
export interface ReplayedFiles {
  /** MD5 and name of each file. */
  readonly files: readonly string[];
  readonly isUnmounted: boolean;
}

/** A block node of QEMU without its name, and the name. */
interface GuestNode {
  readonly name: string;
  readonly node: object;
}

function nodeOf({ name, image: { path: filename, format: driver } }: GuestDrive): GuestNode {
  const file = { driver: 'file', filename, discard: 'unmap' };
  return { name, node: { driver, discard: 'unmap', file } };
}

function machine(
  bootFolder: string,
  nodes: readonly GuestNode[],
  task: 'write' | 'replay' | 'root',
): string[] {
  const disks = nodes.flatMap(({ name, node }) => {
    const named = { ...node, 'node-name': name };
    return ['-blockdev', JSON.stringify(named), '-device', `virtio-blk-pci,drive=${name}`];
  });
  const kernel = path.join(bootFolder, 'vmlinuz');
  const append = `console=ttyS0 quiet panic=-1 mitigations=off task=${task}`;
  const fixed = '-machine pc -accel tcg -m 256 -nodefaults -display none -no-reboot'.split(' ');
  const boot = ['-kernel', kernel, '-initrd', path.join(bootFolder, 'initrd'), '-append', append];
  return [...fixed, ...boot, ...disks];
}

function waitUntil(isDone: () => boolean, timeoutMs: number): boolean {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const startedAtMs = performance.now();
  while (!isDone()) {
    if (performance.now() - startedAtMs > timeoutMs) return false;
    Atomics.wait(cell, 0, 0, POLL_MS);
  }
  return true;
}

function linesOf(console: string): string[] {
  return [...console.matchAll(/^guest: (.*?)\r?\n/gm)].map((match) => match[1] ?? '');
}

export class Guest {
  readonly #folder: string;
  readonly #child: ChildProcess;
  #exports = 0;

  private constructor(folder: string, child: ChildProcess) {
    this.#folder = folder;
    this.#child = child;
  }

  /** Boots a guest. Returns after its first round of writes. */
  static start(options: GuestOptions): Guest {
    const { folder } = options;
    const serial = `file:${path.join(folder, 'console')}`;
    const monitor = `unix:${path.join(folder, 'monitor')},server=on,wait=off`;
    const { bootFolder, drives } = options;
    const args = [
      ...machine(bootFolder, drives.map(nodeOf), 'write'),
      '-serial',
      serial,
      '-qmp',
      monitor,
    ];
    // The console of an earlier guest would count as this guest's.
    rmSync(path.join(folder, 'console'), { force: true });
    const child = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const guest = new Guest(folder, child);
    guest.#waitForRound(1, BOOT_TIMEOUT_MS);
    return guest;
  }

  /** Number of the last completed round of writes. */
  round(): number {
    const last = linesOf(this.#console()).findLast((line) => line.startsWith('round '));
    return Number(last?.slice('round '.length) ?? 0);
  }

  /** Returns after `count` more rounds of writes. */
  waitForRounds(count: number): void {
    this.#waitForRound(this.round() + count, ROUND_TIMEOUT_MS);
  }

  qmp(...commands: readonly QmpCommand[]): unknown[] {
    return qmp(path.join(this.#folder, 'monitor'), commands);
  }

  /** Unix socket of the exports of this guest. */
  get exportSocket(): string {
    return path.join(this.#folder, 'exports');
  }

  /** Exports a node over NBD as libvirt does for a backup. */
  addExport(node: string, name: string, bitmap: string | undefined): void {
    const addr = { type: 'unix', data: { path: this.exportSocket } };
    const server = { execute: 'nbd-server-start', arguments: { addr } };
    const bitmaps = bitmap === undefined ? {} : { bitmaps: [bitmap] };
    const what = { type: 'nbd', id: name, 'node-name': node, name, writable: false, ...bitmaps };
    const add = { execute: 'block-export-add', arguments: what };
    this.qmp(...(this.#exports === 0 ? [server] : []), add);
    this.#exports += 1;
  }

  removeExport(name: string): void {
    const remove = { execute: 'block-export-del', arguments: { id: name, mode: 'hard' } };
    this.#exports -= 1;
    this.qmp(remove, ...(this.#exports === 0 ? [{ execute: 'nbd-server-stop' }] : []));
  }

  /** Switches the guest off while it writes. QEMU stores its bitmaps in the images. */
  async stop(): Promise<void> {
    const { exitCode, signalCode, killed } = this.#child;
    if (exitCode !== null || signalCode !== null || killed) return;
    const exited = once(this.#child, 'exit');
    this.qmp({ execute: 'quit' });
    await exited;
  }

  #console(): string {
    const file = path.join(this.#folder, 'console');
    return existsSync(file) ? readFileSync(file, 'latin1') : '';
  }

  #waitForRound(round: number, timeoutMs: number): void {
    if (waitUntil(() => this.round() >= round, timeoutMs)) return;
    this.#child.kill('SIGKILL');
    throw new Error(`the guest did not reach round ${round}: ${this.#console().slice(-2000)}`);
  }
}

/** Boots a guest that does its task and switches itself off. @returns what it says */
function runGuest(
  bootFolder: string,
  nodes: readonly GuestNode[],
  task: 'replay' | 'root',
): string[] {
  const args = [...machine(bootFolder, nodes, task), '-serial', 'stdio'];
  const options = { encoding: 'utf8', timeout: BOOT_TIMEOUT_MS } as const;
  const { status, stdout, stderr } = spawnSync('qemu-system-x86_64', args, options);
  if (status !== 0) throw new Error(`the guest did not end its task: ${stdout}${stderr}`);
  return linesOf(stdout);
}

/**
 * Boots a guest whose root is the first of these exports, from the init of that disk.
 *
 * @returns what it says
 */
export function bootFromExports(
  bootFolder: string,
  socket: string,
  exportNames: readonly string[],
): string[] {
  const server = { type: 'unix', path: socket };
  const nodes = exportNames.map((name) => ({
    name: `${name}-export`,
    node: { driver: 'nbd', server, export: name, discard: 'unmap' },
  }));
  return runGuest(bootFolder, nodes, 'root');
}

/** Boots a guest that mounts each image, lists its files, unmounts it and switches itself off. */
export function replayJournals(
  bootFolder: string,
  images: readonly ImageFile[],
): readonly ReplayedFiles[] {
  const nodes = images.map((image, at) => nodeOf({ name: `vd${at}`, image }));
  const lines = runGuest(bootFolder, nodes, 'replay');
  return images.map((_image, at) => {
    const disk = `vd${String.fromCharCode('a'.charCodeAt(0) + at)}`;
    const files = lines.filter((line) => line.startsWith(`file ${disk} `));
    return {
      files: files.map((line) => line.slice(`file ${disk} `.length)),
      isUnmounted: lines.includes(`unmounted ${disk}`),
    };
  });
}
