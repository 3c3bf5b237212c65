/** Servers of restore points, in this process or as a command, and what they serve. */
import { deepStrictEqual, ok } from 'node:assert';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { openRepository } from '../../../src/points/openRepository.ts';
import type { LeaseContent } from '../../../src/repository/lease/leases.ts';
import { sha256, sha256OfFile } from '../bytes/images.ts';
import { VM } from './imageSessions.ts';
import { filesOf, vmFolderOf } from './repositoryFiles.ts';

const execute = promisify(execFile);

/** Names of the leases in the folder of the only VM. */
export function leasesOf(repository: string): string[] {
  return filesOf(repository, '.json').filter((name) => name.startsWith('lease.'));
}

export function leasePath(repository: string, name = leasesOf(repository)[0] ?? ''): string {
  return path.join(vmFolderOf(repository), name);
}

export interface ServedPoint {
  /** Address of the only disk. */
  readonly uri: string;
  readonly messages: readonly string[];
  close(): Promise<void>;
}

let socketCount = 0;

/** Serves the only disk of a point from this process. No block stays in memory. */
export async function servePoint(
  repository: string,
  pointId: string,
  folder: string,
): Promise<ServedPoint> {
  const opened = await openRepository(repository, { workers: 0, cacheBytes: 0 });
  try {
    const point = await opened.point(VM, pointId);
    const messages: string[] = [];
    const { uris } = await point.serveNbd(point.disks, {
      address: { socket: path.join(folder, `nbd.${socketCount++}.sock`) },
      onMessage: ({ code }) => messages.push(code),
    });
    return { uri: uris[0] ?? '', messages, close: () => opened.close() };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Files that a server reads are there, also those that it does not hold open. */
export function checkLeasedFiles(repository: string): void {
  const folder = vmFolderOf(repository);
  for (const name of leasesOf(repository)) {
    const lease = JSON.parse(readFileSync(path.join(folder, name), 'utf8')) as LeaseContent;
    ok(lease.files.length > 0);
    for (const file of lease.files) ok(existsSync(path.join(folder, file)), `${file} is there`);
  }
}

/** The served disk has exactly this content. */
export async function checkServed(uri: string, content: Uint8Array, folder: string): Promise<void> {
  const copy = path.join(folder, 'copied.raw');
  await execute('nbdcopy', [uri, copy], { timeout: 60_000 });
  deepStrictEqual(sha256OfFile(copy), sha256(content), 'bytes of the served disk');
}
