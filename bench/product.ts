/** The command line of the product as cases, in its shipped form. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  digestFile,
  digestFiles,
  hashText,
  type Program,
  programCase,
  removeAll,
  runPlain,
} from './programs.ts';
import type { BenchCase, Setting } from './suite.ts';

const CLI = fileURLToPath(new URL('../../dist/cli/launch.cjs', import.meta.url));
const PROBE = new URL('./probe.js', import.meta.url).href;
const NAME = 'bench';

type Place = Pick<Setting, 'folder' | 'workers'>;

/** A repository that is no plain folder. */
export interface Repository {
  /** Folder, or `s3://bucket/prefix`. */
  readonly repo: string;
  /** Opens a sealed repository. */
  readonly keyFile?: string | undefined;
  /** Variables that reach the server. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

function cli(...args: readonly string[]): readonly string[] {
  return [process.execPath, '--import', PROBE, CLI, ...args];
}

/**
 * Hash of the figures of a session report that must be equal each time. The bytes read are not: a
 * file system may call unwritten blocks data while they are in the page cache.
 */
function sessionChecksum(stdout: string): string {
  const report = JSON.parse(stdout) as {
    disks: readonly { changedBytes: number; storedBytes: number }[];
  };
  return hashText(JSON.stringify(report.disks.map((d) => [d.changedBytes, d.storedBytes])));
}

function session(
  command: string,
  { workers }: Place,
  { repo, keyFile, env }: Repository,
  ...args: readonly string[]
): Program {
  const key = keyFile === undefined ? [] : ['--key-file', keyFile];
  const place = ['--repo', repo, ...key, '--workers', String(workers), '--json'];
  return { command: cli(command, ...args, ...place), env };
}

function backup(setting: Place, images: readonly string[], repository: Repository): Program {
  const source = images.flatMap((image) => ['--image', image]);
  return session('backup', setting, repository, ...source, '--name', NAME);
}

function restore(setting: Place, repository: Repository, output: string): Program {
  return session('restore', setting, repository, '--vm', NAME, '--output', output);
}

/** Digest of the restored images of a repository, one after the other, in order of their names. */
export async function proveRepository(setting: Place, repository: Repository): Promise<string> {
  const output = path.join(setting.folder, 'proof');
  runPlain(restore(setting, repository, output));
  const images = readdirSync(output).toSorted();
  const digest = await digestFiles(images.map((name) => path.join(output, name)));
  await removeAll(output);
  return digest;
}

export interface BackupSpec extends Repository {
  readonly name: string;
  readonly images: readonly string[];
}

/**
 * A full. Each execution gets a new repository.
 *
 * @param reset - removes the repository; by default its folder
 */
export function fullCase(
  setting: Place,
  spec: BackupSpec,
  reset = (): Promise<void> => removeAll(spec.repo),
): BenchCase {
  return { ...compareCase(setting, spec), reset };
}

/** Makes the full that the sessions of {@link compareCase} compare with. */
export function makeFull(setting: Place, spec: Omit<BackupSpec, 'name'>): void {
  runPlain(backup(setting, spec.images, spec));
}

/** A session that finds nothing changed. Each execution adds a point to the same chain. */
export function compareCase(setting: Place, spec: BackupSpec): BenchCase {
  return programCase({
    name: spec.name,
    folder: setting.folder,
    ...backup(setting, spec.images, spec),
    checksum: sessionChecksum,
    prove: () => proveRepository(setting, spec),
  });
}

export function restoreCase(
  setting: Place,
  repository: Repository,
  name = 'ovirt-cbt restore',
): BenchCase {
  const output = path.join(setting.folder, 'restored');
  return programCase({
    name,
    folder: setting.folder,
    ...restore(setting, repository, output),
    checksum: () => 'restored',
    prove: () => digestFile(path.join(output, readdirSync(output)[0] ?? '')),
    reset: () => removeAll(output),
  });
}

/** The server of a disk, on a Unix socket. */
export function exportCommand(
  setting: Pick<Setting, 'workers'>,
  repo: string,
  socket: string,
  vm: string = NAME,
): readonly string[] {
  const args = ['--repo', repo, '--vm', vm, '--socket', socket];
  return cli('export', ...args, '--workers', String(setting.workers));
}

/** Starts the server (`$3…`), copies from its socket (`$1`) to `$2`, and ends the server. */
const COPY_SCRIPT = `socket=$1; target=$2; shift 2
"$@" >&2 & server=$!
until [ -S "$socket" ]; do kill -0 $server || exit 1; sleep 0.01; done
nbdcopy "nbd+unix:///?socket=$socket" "$target"; code=$?
kill -INT $server; wait $server; exit $code`;

/** Copies a disk from our export with nbdcopy. The start of our server counts. */
export function exportCase(setting: Place, repo: string): BenchCase {
  const [socket, out] = ['export.sock', 'export.raw'].map((name) =>
    path.join(setting.folder, name),
  );
  const copy = (target: string): readonly string[] => {
    const server = exportCommand(setting, repo, socket ?? '');
    return ['sh', '-c', COPY_SCRIPT, 'sh', socket ?? '', target, ...server];
  };
  return programCase({
    name: 'nbdcopy from ovirt-cbt export to null',
    folder: setting.folder,
    command: copy('null:'),
    checksum: () => 'read',
    prove: async () => {
      runPlain({ command: copy(out ?? '') });
      const digest = await digestFile(out ?? '');
      await removeAll(out ?? '');
      return digest;
    },
  });
}

export function verifyCase(setting: Place, repo: string): BenchCase {
  const args = ['--repo', repo, '--point', 'latest', '--workers', String(setting.workers)];
  return programCase({
    name: 'ovirt-cbt verify',
    folder: setting.folder,
    command: cli('verify', ...args, '--json'),
    checksum: (stdout) => {
      const { files } = JSON.parse(stdout) as { files: readonly { checkedBlocks: number }[] };
      return files.map((file) => file.checkedBlocks).join();
    },
  });
}
