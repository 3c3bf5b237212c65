/** Names of image files, and the list of holes next to an image. */
import { randomBytes } from 'node:crypto';
import { link, open, rename } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, UsageError } from '../../core/errors.ts';
import type { DiskHole } from '../../repository/damage/salvageBlocks.ts';
import { lacksLinks, removeQuietly, syncFolder } from '../../store/folder/durableFile.ts';

/** A name in the folder of the target that no other session uses. */
export function partialName(target: string): string {
  return `${target}.${randomBytes(6).toString('hex')}.partial`;
}

/** Gives a finished image its name. Fails when another file has taken the name meanwhile. */
export async function publishImage(partial: string, target: string): Promise<void> {
  try {
    await link(partial, target);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') throw outputExists(target);
    if (!lacksLinks(error)) throw error;
    await publishWithoutLinks(partial, target);
    return;
  }
  // The image has its name. A failure here must not count as that of the image.
  await removeQuietly(partial);
}

/** Takes the name with an empty file, then replaces that file, so no file of others is replaced. */
async function publishWithoutLinks(partial: string, target: string): Promise<void> {
  try {
    await (await open(target, 'wx', 0o600)).close();
  } catch (error) {
    throw errnoOf(error) === 'EEXIST' ? outputExists(target) : error;
  }
  try {
    await rename(partial, target);
  } catch (error) {
    await removeQuietly(target);
    throw error;
  }
}

/** The error for a target that exists: files are never overwritten. */
export function outputExists(
  target: string,
  hint: string = 'name another output folder, or move the file away',
): UsageError {
  return new UsageError('USAGE_OUTPUT_EXISTS', `${target} exists already`, { hint });
}

/** The file next to an image that lists its holes. */
export function holesFileName(target: string): string {
  return `${target}.holes`;
}

function hex(bytes: number): string {
  return `0x${bytes.toString(16).toUpperCase().padStart(8, '0')}`;
}

/**
 * Holes as a mapfile of ddrescue: `+` are good bytes, `-` are damaged ones. The rows cover the
 * whole disk. A comment before each hole gives its reason.
 *
 * @see https://www.gnu.org/software/ddrescue/manual/ddrescue_manual.html, "Mapfile structure"
 */
export function formatHoles(sizeBytes: number, holes: readonly DiskHole[]): string {
  const lines = [
    '# Mapfile of GNU ddrescue, written by ovirt-cbt restore.',
    '# "-": damaged bytes of the disk, zeros in the image. "+": all other bytes.',
    '# current_pos  current_status',
    `${hex(0)}     +`,
    '#      pos        size  status',
  ];
  let at = 0;
  const row = (endBytes: number, status: string): void => {
    if (endBytes > at) lines.push(`${hex(at)}  ${hex(endBytes - at)}  ${status}`);
    at = endBytes;
  };
  for (const { offsetBytes, lengthBytes, code, reason } of holes) {
    row(offsetBytes, '+');
    lines.push(`# ${code}: ${reason.replaceAll(/\p{Cc}/gu, '?')}`);
    row(offsetBytes + lengthBytes, '-');
  }
  row(sizeBytes, '+');
  return `${lines.join('\n')}\n`;
}

/**
 * Writes the list of holes of an image (mode 0600). It survives a power cut. Errors of the system
 * pass unchanged.
 *
 * @throws {@link UsageError} `USAGE_OUTPUT_EXISTS`
 */
export async function writeHoles(
  target: string,
  sizeBytes: number,
  holes: readonly DiskHole[],
): Promise<void> {
  const file = holesFileName(target);
  const partial = partialName(file);
  try {
    const handle = await open(partial, 'wx', 0o600);
    try {
      await handle.writeFile(formatHoles(sizeBytes, holes), 'utf8');
      await handle.sync();
    } finally {
      await handle.close();
    }
    await publishImage(partial, file);
    await syncFolder(path.dirname(file));
  } catch (error) {
    await removeQuietly(partial);
    throw error;
  }
}
