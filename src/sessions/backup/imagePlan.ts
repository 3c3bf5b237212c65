/** Plans an image session: which image is which disk, and how each one is read. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { UsageError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { formatBytes } from '../../core/units.ts';
import { MAX_DISKS, type RestorePoint } from '../../repository/restorePoint.ts';
import type { PlannedDisk } from './plannedDisk.ts';

export interface ImageDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly sizeBytes: number;
}

/** Version of the UUIDs of images. Engines make random ones, of version 4. */
const ID_VERSION = '8';

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

/** Id of a disk: from the VM and the image's file name. */
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

/**
 * Names the disks of a session after their files. The file name identifies a disk between sessions.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for two images of one file name, and for more
 *   images than a restore point holds
 */
export function nameImages(
  vmId: string,
  images: readonly { readonly path: string; readonly sizeBytes: number }[],
): ImageDisk[] {
  const disks = images.map((image) => {
    const alias = path.basename(image.path);
    return { alias, diskId: imageDiskId(vmId, alias), sizeBytes: image.sizeBytes };
  });
  if (disks.length > MAX_DISKS) {
    throw new UsageError('USAGE_INVALID_OPTION', `${disks.length} images are too many for one VM`, {
      hint: `a restore point holds at most ${MAX_DISKS} disks; back them up under several names`,
    });
  }
  const seen = new Set<string>();
  for (const { alias } of disks) {
    if (seen.has(alias)) {
      throw new UsageError('USAGE_INVALID_OPTION', `two images have the file name ${alias}`, {
        hint: 'disks are told apart by file name; rename one of them, or back them up under two names',
      });
    }
    seen.add(alias);
  }
  return disks;
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
      messages.push(sessionMessage('DSK-111', { alias: gone.alias, id: gone.diskId, rp }));
    }
  }
  return { planned, messages };
}
