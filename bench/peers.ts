/**
 * Peers: programs of others that copy an image, called as users call them. See bench/RESULTS.md.
 */
import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  digestFile,
  digestOutput,
  isInstalled,
  programCase,
  removeAll,
  runPlain,
} from './programs.ts';
import type { BenchCase, Setting } from './suite.ts';

export interface Peer {
  readonly name: string;
  /** The program that must be installed, and its Debian package. */
  readonly program: string;
  readonly debianPackage: string;
  readonly make: (setting: Setting) => Promise<BenchCase> | BenchCase;
}

/** The installed peers. `leaveOut` gets a reason for each of the others. */
export function usablePeers(
  peers: readonly Peer[],
  leaveOut: (reason: string) => void,
): readonly Peer[] {
  return peers.filter((peer) => {
    const isThere = isInstalled(peer.program);
    if (!isThere) leaveOut(`${peer.name}: not installed (Debian package ${peer.debianPackage})`);
    return isThere;
  });
}

export async function sizeOf(file: string): Promise<string> {
  return String((await stat(file)).size);
}

/** A program that writes one file. `read` writes the image from this file to standard output. */
export function fileCase(
  setting: Setting,
  spec: {
    readonly name: string;
    readonly suffix: string;
    readonly command: (out: string) => readonly string[];
    readonly read?: (out: string) => readonly string[];
  },
): BenchCase {
  const out = path.join(setting.folder, `peer.${spec.suffix}`);
  const { name, read } = spec;
  return programCase({
    name,
    folder: setting.folder,
    command: spec.command(out),
    checksum: () => sizeOf(out),
    prove: () => (read ? digestOutput({ command: read(out) }) : digestFile(out)),
    reset: () => removeAll(out),
  });
}

/**
 * Our sessions sync their container before they end. With `isSynced`, lz4's output is synced, too.
 */
export function lz4Case(setting: Setting, isSynced: boolean, image = setting.image): BenchCase {
  const sync = isSynced ? ' && sync "$1"' : '';
  return fileCase(setting, {
    name: isSynced ? 'lz4 -1 IMAGE OUT; sync OUT' : 'lz4 -1 IMAGE OUT',
    suffix: 'lz4',
    command: (out) => ['sh', '-c', `lz4 -q -f -1 "$0" "$1"${sync}`, image, out],
    read: (out) => ['lz4', '-dc', out],
  });
}

function convertCase(setting: Setting, name: string, options: readonly string[]): BenchCase {
  const format = options.includes('qcow2') ? 'qcow2' : 'raw';
  const { image } = setting;
  return {
    ...fileCase(setting, {
      name,
      suffix: format,
      command: (out) => ['qemu-img', 'convert', '-f', 'raw', ...options, image, out],
    }),
    prove: async () => {
      const out = path.join(setting.folder, `peer.${format}`);
      if (format === 'raw') return await digestFile(out);
      const raw = `${out}.raw`;
      runPlain({ command: ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', out, raw] });
      const digest = await digestFile(raw);
      await removeAll(raw);
      return digest;
    },
  };
}

const ZSTD = ['-c', '-O', 'qcow2', '-o', 'compression_type=zstd'];

function borgEnv({ folder }: Setting): Record<string, string> {
  return {
    BORG_BASE_DIR: path.join(folder, 'borg-base'),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
  };
}

/** A backup program with its own repository, as a case. */
interface RepositorySpec {
  readonly name: string;
  readonly repo: string;
  readonly env: Readonly<Record<string, string>>;
  readonly init: readonly string[];
  readonly backup: readonly string[];
  readonly read: readonly string[];
}

async function repositoryCase(setting: Setting, spec: RepositorySpec): Promise<BenchCase> {
  const { name, repo, env, init, backup, read } = spec;
  async function reset(): Promise<void> {
    await removeAll(repo);
    runPlain({ command: init, env });
  }
  await reset();
  return programCase({
    name,
    folder: setting.folder,
    command: backup,
    env,
    checksum: () => 'stored',
    prove: () => digestOutput({ command: read, env }),
    reset,
  });
}

function borgSpec(setting: Setting, name: string, options: readonly string[]): RepositorySpec {
  const repo = path.join(setting.folder, 'peer.borg');
  const { image } = setting;
  return {
    name,
    repo,
    env: borgEnv(setting),
    init: ['borg', 'init', '-e', 'none', repo],
    // Without the cache of file times, an unchanged file is read again, as a disk is.
    backup: [
      'borg',
      'create',
      '--files-cache=disabled',
      ...options,
      `${repo}::{now:%H%M%S%f}`,
      image,
    ],
    read: ['sh', '-c', 'borg extract --stdout "$0::$(borg list --last 1 --short "$0")"', repo],
  };
}

async function resticSpec(setting: Setting): Promise<RepositorySpec> {
  const { folder, image } = setting;
  const repo = path.join(folder, 'peer.restic');
  const passwordFile = path.join(folder, 'restic-password');
  await writeFile(passwordFile, 'benchmark\n');
  const restic = ['restic', '-q', '-r', repo, '--password-file', passwordFile];
  return {
    name: 'restic backup',
    repo,
    env: { RESTIC_CACHE_DIR: path.join(folder, 'restic-cache') },
    init: [...restic, 'init'],
    // --force reads the file again although its time has not changed.
    backup: [...restic, 'backup', '--force', image],
    read: [...restic, 'dump', 'latest', image],
  };
}

export const LZ4: Peer = {
  name: 'lz4 -1',
  program: 'lz4',
  debianPackage: 'lz4',
  make: (setting) => lz4Case(setting, false),
};

export const BORG: Peer = {
  name: 'borg',
  program: 'borg',
  debianPackage: 'borgbackup',
  make: (setting) =>
    repositoryCase(setting, borgSpec(setting, 'borg create -C lz4', ['-C', 'lz4'])),
};

const FIXED_CHUNKS = ['-C', 'lz4', '--chunker-params=fixed,1048576'];

export const BORG_FIXED: Peer = {
  ...BORG,
  name: 'borg, fixed chunks',
  make: (setting) =>
    repositoryCase(
      setting,
      borgSpec(setting, 'borg create -C lz4, fixed chunks of 1 MiB', FIXED_CHUNKS),
    ),
};

export const RESTIC: Peer = {
  name: 'restic',
  program: 'restic',
  debianPackage: 'restic',
  make: async (setting) => repositoryCase(setting, await resticSpec(setting)),
};

export const LZ4_SYNCED: Peer = {
  ...LZ4,
  name: 'lz4 -1 with sync',
  make: (setting) => lz4Case(setting, true),
};

export const CONVERT: Peer = {
  name: 'qemu-img convert',
  program: 'qemu-img',
  debianPackage: 'qemu-utils',
  make: (setting) => convertCase(setting, 'qemu-img convert -O raw', ['-O', 'raw']),
};

export const CONVERT_ZSTD: Peer = {
  ...CONVERT,
  name: 'qemu-img convert -c zstd',
  make: (setting) => convertCase(setting, 'qemu-img convert -c, zstd', ZSTD),
};

/** A second backup of the same image into the same repository. All is read, nothing is new. */
export async function secondRun(peer: Peer, setting: Setting): Promise<BenchCase> {
  const first = await peer.make(setting);
  await first.run();
  return {
    name: `${first.name}, second run`,
    run: () => first.run(),
    prove: async () => (await first.prove?.()) ?? '',
  };
}
