/** Backup programs of others with a repository in the same bucket, encrypted as they always do. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Program } from './programs.ts';
import { digestFile, programCase, removeAll, runPlain } from './programs.ts';
import { BUCKET, type StoreRig } from './storeRig.ts';
import type { BenchCase } from './suite.ts';

const PASSWORD = 'benchmark';

/** A program that keeps backups in a bucket. */
export interface StorePeer {
  readonly name: string;
  readonly program: string;
  /** Where to get it. */
  readonly source: string;
  readonly commands: (rig: StoreRig, image: string) => Promise<PeerCommands>;
}

interface PeerCommands {
  readonly env: Readonly<Record<string, string>>;
  /** Name of all objects begins with it, followed by `/`. */
  readonly prefix: string;
  /** Folder of the program on this machine that may hold parts of a backup. */
  readonly cache: string;
  /** Its other files on this machine. */
  readonly local: readonly string[];
  readonly init: readonly string[];
  readonly backup: readonly string[];
  readonly restore: (output: string) => readonly string[];
  /** The restored image. */
  readonly restored: (output: string) => string;
}

async function resticCommands(rig: StoreRig, image: string): Promise<PeerCommands> {
  const passwordFile = path.join(rig.folder, 'restic-password');
  await writeFile(passwordFile, `${PASSWORD}\n`);
  const cache = path.join(rig.folder, 'restic-cache');
  const prefix = 'restic';
  const repo = `s3:${rig.server.endpoint}/${BUCKET}/${prefix}`;
  const restic = ['restic', '-q', '-r', repo, '--password-file', passwordFile];
  return {
    env: { ...rig.env, AWS_DEFAULT_REGION: rig.server.env.AWS_REGION, RESTIC_CACHE_DIR: cache },
    prefix,
    cache,
    local: [],
    init: [...restic, 'init'],
    backup: [...restic, 'backup', '--compression', 'auto', image],
    restore: (output) => [...restic, 'restore', 'latest', '--target', output],
    restored: (output) => path.join(output, image),
  };
}

/** `$1` is the output. The newest snapshot is the only one. */
const KOPIA_RESTORE = `id=$(kopia snapshot list --all --json | sed -n 's/.*"id":"\\([0-9a-f]*\\)".*/\\1/p' | head -n 1)
exec kopia snapshot restore --no-progress "$id" "$1"`;

function kopiaCommands(rig: StoreRig, image: string): Promise<PeerCommands> {
  const [settings, cache] = [path.join(rig.folder, 'kopia'), path.join(rig.folder, 'kopia-cache')];
  const prefix = 'kopia';
  const server = ['--endpoint', new URL(rig.server.endpoint).host, '--disable-tls'];
  const place = ['--bucket', BUCKET, '--prefix', `${prefix}/`, '--cache-directory', cache];
  return Promise.resolve({
    env: {
      ...rig.env,
      KOPIA_PASSWORD: PASSWORD,
      KOPIA_CONFIG_PATH: path.join(settings, 'repository.config'),
      KOPIA_LOG_DIR: path.join(settings, 'logs'),
      KOPIA_CHECK_FOR_UPDATES: 'false',
    },
    prefix,
    cache,
    local: [settings],
    init: ['kopia', 'repository', 'create', 's3', ...server, ...place],
    backup: ['kopia', 'snapshot', 'create', '--no-progress', image],
    restore: (output) => ['sh', '-c', KOPIA_RESTORE, 'sh', output],
    restored: (output) => output,
  });
}

export const STORE_PEERS: readonly StorePeer[] = [
  {
    name: 'restic',
    program: 'restic',
    source: 'Debian package restic',
    commands: resticCommands,
  },
  {
    name: 'kopia',
    program: 'kopia',
    source: 'github.com/kopia/kopia',
    commands: kopiaCommands,
  },
];

export interface PeerCases {
  readonly backup: BenchCase;
  readonly restore: BenchCase;
  /** Makes the backup that {@link restore} reads. */
  readonly prepare: () => Promise<void>;
}

/** A backup of the image into a new repository, and the restore of the image. */
export async function peerCases(
  rig: StoreRig,
  { name, commands }: StorePeer,
  image: string,
): Promise<PeerCases> {
  const { env, prefix, cache, local, init, backup, restore, restored } = await commands(rig, image);
  const output = path.join(rig.folder, `${name}-restored`);
  const program = (command: readonly string[]): Program => ({ command, env });
  async function reset(): Promise<void> {
    await removeAll(cache, ...local);
    await rig.empty(prefix);
    runPlain(program(init));
  }
  async function proveOutput(): Promise<string> {
    return await digestFile(restored(output));
  }
  await reset();
  return {
    backup: rig.served(
      programCase({
        name: `${name} backup`,
        folder: rig.folder,
        ...program(backup),
        checksum: () => 'stored',
        prove: async () => {
          runPlain(program(restore(output)));
          const digest = await proveOutput();
          await removeAll(output);
          return digest;
        },
        reset,
      }),
    ),
    restore: rig.served(
      programCase({
        name: `${name} restore`,
        folder: rig.folder,
        ...program(restore(output)),
        checksum: () => 'restored',
        prove: proveOutput,
        // Who restores after a loss has no cache.
        reset: () => removeAll(output, cache),
      }),
    ),
    prepare: async () => {
      runPlain(program(backup));
      await removeAll(cache);
    },
  };
}
