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

function backup(setting: Place, images: readonly string[], repo: string): Program {
  const source = images.flatMap((image) => ['--image', image]);
  const args = ['--name', NAME, '--repo', repo, '--workers', String(setting.workers), '--json'];
  return { command: cli('backup', ...source, ...args) };
}

function restore(setting: Place, repo: string, output: string): Program {
  const args = ['--repo', repo, '--vm', NAME, '--output', output];
  return { command: cli('restore', ...args, '--workers', String(setting.workers), '--json') };
}

/** Digest of the restored images of a repository, one after the other, in order of their names. */
export async function proveRepository(setting: Place, repo: string): Promise<string> {
  const output = `${repo}.proof`;
  runPlain(restore(setting, repo, output));
  const images = readdirSync(output).toSorted();
  const digest = await digestFiles(images.map((name) => path.join(output, name)));
  await removeAll(output);
  return digest;
}

export interface BackupSpec {
  readonly name: string;
  readonly images: readonly string[];
  readonly repo: string;
}

/** A full. Each execution gets a new repository. */
export function fullCase(setting: Place, { name, images, repo }: BackupSpec): BenchCase {
  return programCase({
    name,
    folder: setting.folder,
    ...backup(setting, images, repo),
    checksum: sessionChecksum,
    prove: () => proveRepository(setting, repo),
    reset: () => removeAll(repo),
  });
}

/** Makes the full that the sessions of {@link compareCase} compare with. */
export function makeFull(setting: Place, { images, repo }: Omit<BackupSpec, 'name'>): void {
  runPlain(backup(setting, images, repo));
}

/** A session that finds nothing changed. Each execution adds a point to the same chain. */
export function compareCase(setting: Place, { name, images, repo }: BackupSpec): BenchCase {
  return programCase({
    name,
    folder: setting.folder,
    ...backup(setting, images, repo),
    checksum: sessionChecksum,
    prove: () => proveRepository(setting, repo),
  });
}

export function restoreCase(setting: Place, repo: string): BenchCase {
  const output = path.join(setting.folder, 'restored');
  return programCase({
    name: 'ovirt-cbt restore',
    folder: setting.folder,
    ...restore(setting, repo, output),
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
