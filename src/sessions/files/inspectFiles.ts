/** Shows the structure of the files of a chain, and the VMs and disks in the last of them. */
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { BackupError, type ErrorCode, toFailure } from '../../core/errors.ts';
import { type SessionMessage } from '../../core/messages.ts';
import type { ChainFile, FileVm } from '../../repository/files/chainFile.ts';
import { imageKindOf } from '../../repository/files/diskItems.ts';
import { closeFiles, composeChain, openFilesOf } from '../../repository/files/fileChain.ts';
import { inspectContainer, type InspectReport } from '../inspect/inspectContainer.ts';

export interface InspectFilesOptions {
  /** Containers of a chain, oldest first. */
  readonly files: readonly string[];
}

export interface InspectedVm {
  readonly name: string;
  /** Empty when the files do not tell it. */
  readonly id: string;
  /** Folder of the VM in the last file. */
  readonly folder: string;
  readonly disks: readonly {
    readonly name: string;
    readonly sizeBytes: number;
    /** Form in the last file. */
    readonly content: 'full' | 'increment';
    /** Kind of the image file that the bytes are, such as `vhdx`; absent for bytes of a disk. */
    readonly imageKind?: string | undefined;
  }[];
  /** Why the files are no chain of this VM; undefined when they are one. */
  readonly problem:
    | { readonly code: ErrorCode; readonly message: string; readonly hint: string }
    | undefined;
}

export interface InspectFilesReport {
  readonly type: 'inspectFiles';
  readonly files: readonly InspectReport[];
  readonly vms: readonly InspectedVm[];
  readonly messages: readonly SessionMessage[];
}

async function inspectVm(
  files: readonly ChainFile[],
  vm: FileVm,
): Promise<{ readonly vm: InspectedVm; readonly messages: readonly SessionMessage[] }> {
  const { name, id, folder } = vm;
  try {
    const { point, messages } = await composeChain(files, vm);
    const disks = point.disks.map(({ alias, sizeBytes, content }) => ({
      name: alias,
      sizeBytes,
      content,
      imageKind: imageKindOf(alias),
    }));
    return { vm: { name, id, folder, disks, problem: undefined }, messages };
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const { code, message, hint } = error;
    return { vm: { name, id, folder, disks: [], problem: { code, message, hint } }, messages: [] };
  }
}

/**
 * Inspects files one by one, and as a chain. Reads metadata and summaries only.
 *
 * @throws a {@link BackupError} as {@link inspectContainer}. Files that are no chain are reported,
 *   not thrown.
 */
export async function inspectFiles({ files }: InspectFilesOptions): Promise<InspectFilesReport> {
  try {
    const reports: InspectReport[] = [];
    for (const file of files) reports.push(await inspectContainer({ file }));
    const opened = await openFilesOf(files, await createBlockCodecs());
    try {
      const results = [];
      for (const vm of opened.at(-1)?.vms ?? []) results.push(await inspectVm(opened, vm));
      const messages = results.flatMap((result) => result.messages);
      const texts = new Map(messages.map((message) => [message.text, message]));
      const vms = results.map((result) => result.vm);
      return { type: 'inspectFiles', files: reports, vms, messages: [...texts.values()] };
    } finally {
      await closeFiles(opened);
    }
  } catch (error) {
    throw toFailure(error);
  }
}
