/** Plans an image session: which image is which disk, and how each one is read. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { formatBytes } from '../../core/units.ts';
import { MAX_DISKS, type RestorePoint } from '../../repository/restorePoint.ts';
import type { PlannedDisk } from './plannedDisk.ts';

/** An image of a session. */
export interface ImageSource {
  /** Raw image or block device. */
  readonly path: string;
  /**
   * Name of the disk: 1 to 255 bytes of printable text without `/`.
   *
   * @defaultValue the file name of `path`
   */
  readonly name?: string | undefined;
}

export interface ImageDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly sizeBytes: number;
}

/** Version of the UUIDs of images. Engines make random ones, of version 4. */
const ID_VERSION = '8';
/** Characters that a given name must not have: `/`, control characters, halves of characters. */
const UNUSABLE = /[/\p{Cc}\p{Cs}]/u;

/** A stable id in the form of a UUID (version 8): readers know a disk by a name of this form. */
function stableId(...parts: readonly string[]): string {
  const hex = createHash('sha256').update(parts.join('/')).digest('hex');
  const variant = '89ab'[Number.parseInt(hex.charAt(16), 16) % 4];
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `${ID_VERSION}${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}

/** Id of a disk: from the VM and the disk's name. */
export function imageDiskId(vmId: string, alias: string): string {
  return stableId(vmId, alias);
}

/** Id of a VM of images, the same for sessions that start at the same time. */
export function imageVmId(repositoryId: string, vmName: string): string {
  return stableId(repositoryId, vmName);
}

/**
 * Keeps images out of the chain of a VM of an engine, whose next session would lose its base.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for the id of a VM of an engine
 */
export function checkImageVm(vmId: string, vmName: string): void {
  if (vmId.charAt(14) === ID_VERSION) return;
  throw new UsageError('USAGE_INVALID_OPTION', `"${vmName}" is a VM of an engine`, {
    hint: 'give the images a name of their own with --name',
  });
}

function checkDiskName(name: string): void {
  if (name.trim() && !UNUSABLE.test(name) && Buffer.byteLength(name) <= 255) return;
  throw new UsageError('USAGE_INVALID_OPTION', `disk name ${JSON.stringify(name)} is not usable`, {
    hint: 'use 1 to 255 bytes of printable text without "/"',
  });
}

/**
 * Names of the disks, in their order. A disk without a given name has the name of its file.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a name that is not usable, two images of
 *   one name, and more images than a restore point holds
 */
export function diskNames(images: readonly ImageSource[]): string[] {
  if (images.length > MAX_DISKS) {
    throw new UsageError(
      'USAGE_INVALID_OPTION',
      `${images.length} images are too many for one VM`,
      {
        hint: `a restore point holds at most ${MAX_DISKS} disks; back them up under several names`,
      },
    );
  }
  const names = new Set<string>();
  for (const image of images) {
    if (image.name !== undefined) checkDiskName(image.name);
    const name = image.name ?? path.basename(image.path);
    if (names.has(name)) {
      throw new UsageError('USAGE_INVALID_OPTION', `two images have the name ${name}`, {
        hint: 'an image is named after its file; name one of them with --image NAME=FILE',
      });
    }
    names.add(name);
  }
  return [...names];
}

/**
 * Disks of a session. The name identifies a disk between sessions.
 *
 * @throws as {@link diskNames}
 */
export function nameImages(
  vmId: string,
  images: readonly (ImageSource & { readonly sizeBytes: number })[],
): ImageDisk[] {
  const names = diskNames(images);
  return images.map(({ sizeBytes }, k) => {
    const alias = names[k] ?? '';
    return { alias, diskId: imageDiskId(vmId, alias), sizeBytes };
  });
}

/** Plans a full: every image is stored whole. */
export function planFull(disks: readonly ImageDisk[], reason: string): PlannedDisk[] {
  return disks.map((disk) => ({
    ...disk,
    mode: 'full',
    content: 'full',
    reason,
    parentDisk: undefined,
  }));
}

/** Advice for a disk that was not removed. */
const OTHERWISE =
  'Otherwise give it to the session again. An image is known by its file name; if that changes, give the disk a fixed name with --image NAME=FILE.';

function planAgainst(disk: ImageDisk, parent: RestorePoint): PlannedDisk {
  const parentDisk = parent.disks.find((known) => known.diskId === disk.diskId);
  if (!parentDisk) {
    const reason = `new since restore point ${parent.number}`;
    return { ...disk, mode: 'full', content: 'full', reason, parentDisk: undefined };
  }
  const resized = parentDisk.sizeBytes !== disk.sizeBytes;
  const reason = resized
    ? `resized since restore point ${parent.number}`
    : 'raw image without a change map';
  return { ...disk, mode: 'compare', content: 'increment', reason, parentDisk };
}

/** Plans an increment on `parent`, with a message for every disk that is new, resized or gone. */
export function planIncrement(
  disks: readonly ImageDisk[],
  parent: RestorePoint,
): { readonly planned: PlannedDisk[]; readonly messages: SessionMessage[] } {
  const planned = disks.map((disk) => planAgainst(disk, parent));
  const rp = parent.pointId;
  const messages: SessionMessage[] = [];
  for (const { alias, diskId: id, sizeBytes, parentDisk } of planned) {
    if (!parentDisk) messages.push(sessionMessage('CBT-106', { alias, id, rp }));
    else if (parentDisk.sizeBytes !== sizeBytes) {
      const [from, to] = [formatBytes(parentDisk.sizeBytes), formatBytes(sizeBytes)];
      messages.push(sessionMessage('DSK-110', { alias, id, rp, from, to }));
    }
  }
  for (const gone of parent.disks) {
    if (!disks.some((disk) => disk.diskId === gone.diskId)) {
      const fields = { alias: gone.alias, id: gone.diskId, rp, otherwise: OTHERWISE };
      messages.push(sessionMessage('DSK-111', fields));
    }
  }
  return { planned, messages };
}
