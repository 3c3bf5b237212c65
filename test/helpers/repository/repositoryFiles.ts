/** Files of a repository, and the points that its metadata lists. No test framework in here. */
import { deepStrictEqual, equal } from 'node:assert';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { ContainerReader, type StoredExtent } from '../../../src/container/read/containerReader.ts';
import { openStorage } from '../../../src/store/folder/fileStorage.ts';
import { decodeVbm } from '../../../src/repository/pointXml.ts';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import { listRepository } from '../../../src/sessions/inspect/listRepository.ts';
import { sha256OfFile } from '../bytes/images.ts';

/** Folders of VMs in a repository; none when there is no repository. */
export function vmFoldersOf(repository: string): string[] {
  try {
    return readdirSync(repository, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => path.join(repository, entry.name));
  } catch {
    return [];
  }
}

/** The folder of the only VM. */
export function vmFolderOf(repository: string): string {
  const [folder, ...others] = vmFoldersOf(repository);
  deepStrictEqual(others, [], 'the repository has one VM');
  return folder ?? '';
}

/** Names in the folder of the only VM, sorted. Without reports: each session adds one. */
export function filesOf(repository: string, suffix = ''): string[] {
  const folder = vmFoldersOf(repository)[0];
  if (!folder) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(suffix) && !isReport(name))
    .toSorted();
}

/** Names of the reports in the folder of the only VM, oldest first. */
export function reportsOf(repository: string): string[] {
  const folder = vmFoldersOf(repository)[0];
  return folder ? readdirSync(folder).filter(isReport).toSorted() : [];
}

/** True for the report of a session. */
export function isReport(name: string): boolean {
  return /^session-\d{8}T\d{9}Z-[a-z]+(-failed)?-[\da-f]{8}\.json$/.test(name);
}

/** True for the report of a run. */
export function isRunReport(name: string): boolean {
  return /^[\w.-]+-\d{8}T\d{9}Z-[\da-f]{8}\.json$/.test(name) && !isReport(name);
}

/** True for a report that a killed session had begun to write. The next backup deletes it. */
export function isBegunReport(name: string): boolean {
  const whole = name.replace(/\.[\da-f-]{36}\.partial$/, '');
  return whole !== name && isReport(whole);
}

/** Path of the only file with this ending in the folder of the only VM. */
export function onlyFileOf(repository: string, suffix: string): string {
  const names = filesOf(repository, suffix);
  equal(names.length, 1, `one file ${suffix} in ${names.join(', ')}`);
  return path.join(vmFolderOf(repository), names[0] ?? '');
}

/** Restore points of the only VM as its .vbm lists them. */
export function pointsOf(repository: string): readonly RestorePoint[] {
  if (filesOf(repository, '.vbm').length === 0) return [];
  const vbm = onlyFileOf(repository, '.vbm');
  return decodeVbm(readFileSync(vbm, 'utf8'), vbm).points;
}

/** Ids of the points of one VM of several, oldest first; none for a VM that is not there. */
export async function pointIdsOf(repository: string, vm: string): Promise<string[]> {
  const { vms } = await listRepository({ repository });
  const found = vms.find(({ vmId, vmName }) => vmId === vm || vmName === vm);
  return found?.points.map(({ pointId }) => pointId) ?? [];
}

/** Names of all containers of a repository, sorted. */
export function containersOf(repository: string): string[] {
  return readdirSync(repository, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(vbk|vib)$/.test(name))
    .map((name) => path.basename(name))
    .toSorted();
}

/**
 * Names of files that do not belong in a repository while no session runs. Temporary files of the
 * marker may stay when they could not be deleted: nobody locks the whole repository.
 */
export function strayFilesOf(repository: string): string[] {
  return readdirSync(repository, { recursive: true, withFileTypes: true })
    .filter(
      (entry) =>
        entry.isFile() &&
        !isReport(entry.name) &&
        !isRunReport(entry.name) &&
        !/\.(vbk|vib|vbm)$|^ovirt-cbt\.(json|reserve)|^verify\.json$/.test(entry.name),
    )
    .map(({ name }) => name);
}

/**
 * Everything below a folder but reports of sessions, whole or begun, a line each: path and SHA-256
 * of a file, or path of a folder.
 */
export function fileTree(root: string): string[] {
  if (!statSync(root, { throwIfNoEntry: false })) return [];
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => !isReport(path.basename(name)) && !isBegunReport(path.basename(name)))
    .toSorted()
    .map((name) => {
      const full = path.join(root, name);
      return statSync(full).isFile() ? `${name} ${sha256OfFile(full)}` : `${name}/`;
    });
}

/** Permission bits of a file or folder as octal text. */
export function modeOf(file: string): string {
  return (statSync(file).mode % 0o1000).toString(8);
}

/** Place of the first stored block of a container with this codec. */
export async function firstExtent(
  file: string,
  codec: StoredExtent['codec'],
): Promise<StoredExtent> {
  const reader = await ContainerReader.open(await openStorage(file, 'read'));
  try {
    for (let blockId = 0; blockId < reader.store.count; blockId++) {
      const extent = await reader.storedExtent(blockId);
      if (extent.codec === codec) return extent;
    }
  } finally {
    await reader.close();
  }
  throw new Error(`${file} holds no ${codec} block`);
}
