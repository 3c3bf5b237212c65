/** Mounts the file systems of a guest read-only, as its own system does. */
import { OutputError, UsageError } from '../../core/errors.ts';
import type { Guestfish } from './guestfish.ts';
import { quoted } from './guestfishLanguage.ts';

interface FileSystem {
  readonly device: string;
  readonly type: string;
}

/** Found by `list-filesystems`, but nothing to mount. */
const NO_FILES = new Set(['swap', 'unknown', 'crypto_LUKS', 'BitLocker', 'LVM2_member', '']);

/**
 * Mounts what the operating system on the disks mounts, or the only file system of disks without
 * one.
 *
 * @param device - such as `/dev/sda1`: only this one is mounted then.
 * @param disks - names of the disks, in the order of their devices.
 * @param onStatus - gets the text about a file system that cannot be mounted.
 * @throws {@link UsageError} `USAGE_NOT_FOUND`, `USAGE_INVALID_OPTION` when a choice is needed
 */
export async function mountGuest(
  fish: Guestfish,
  device: string | undefined,
  disks: readonly string[],
  onStatus: (text: string) => void,
): Promise<void> {
  if (device !== undefined) return await mountOne(fish, device);
  const roots = linesOf(await fish.run('inspect-os'));
  const [root] = roots;
  if (roots.length === 1 && root !== undefined) return await mountSystem(fish, root, onStatus);
  const found = await fileSystemsOf(fish);
  const [only] = found;
  if (found.length === 1 && only) {
    await fish.run(`mount-ro ${quoted(only.device)} /`);
    return;
  }
  const why = roots.length > 1 ? 'are several operating systems' : 'is no operating system';
  throw noChoice(found, why, disks);
}

async function mountOne(fish: Guestfish, device: string): Promise<void> {
  const found = await fileSystemsOf(fish);
  if (!found.some((one) => one.device === device)) {
    throw new UsageError('USAGE_NOT_FOUND', `there is no file system ${device}`, {
      hint: `there are: ${namesOf(found)}`,
    });
  }
  await fish.run(`mount-ro ${quoted(device)} /`);
}

/** Only the root is necessary: /etc/fstab may name disks that are not part of the point. */
async function mountSystem(
  fish: Guestfish,
  root: string,
  onStatus: (text: string) => void,
): Promise<void> {
  const output = await fish.run(`inspect-get-mountpoints ${quoted(root)}`);
  const mounts = linesOf(output)
    .map((line) => /^(.*?): (.*)$/.exec(line))
    .map((match) => ({ place: match?.[1] ?? '', device: match?.[2] ?? '' }))
    .toSorted((a, b) => a.place.length - b.place.length);
  for (const { place, device } of mounts) {
    try {
      await fish.run(`mount-ro ${quoted(device)} ${quoted(place)}`);
    } catch (error) {
      if (place === '/' || !(error instanceof OutputError)) throw error;
      onStatus(`${place} is not mounted: ${error.message}`);
    }
  }
}

async function fileSystemsOf(fish: Guestfish): Promise<FileSystem[]> {
  return linesOf(await fish.run('list-filesystems'))
    .map((line) => ({ at: line.lastIndexOf(': '), line }))
    .map(({ at, line }) => ({ device: line.slice(0, at), type: line.slice(at + 2) }))
    .filter(({ type }) => !NO_FILES.has(type));
}

function namesOf(found: readonly FileSystem[]): string {
  const names = found.map(({ device, type }) => `${device} (${type})`).join(', ');
  return names === '' ? 'none that can be mounted' : names;
}

/** Name that the appliance gives to a disk: `/dev/sda`, …, `/dev/sdz`, `/dev/sdaa`. */
function deviceOf(position: number): string {
  const letters = (at: number): string =>
    (at < 26 ? '' : letters(Math.floor(at / 26) - 1)) + String.fromCodePoint(97 + (at % 26));
  return `/dev/sd${letters(position)}`;
}

function noChoice(found: readonly FileSystem[], why: string, disks: readonly string[]): UsageError {
  if (found.length === 0) {
    return new UsageError('USAGE_NOT_FOUND', 'there is no file system that can be mounted', {
      hint: 'encrypted disks cannot be read here; choose other disks with --disk',
    });
  }
  const devices = disks.map((name, at) => `${deviceOf(at)} is ${name}`).join(', ');
  const text = `there ${why}; file systems: ${namesOf(found)}`;
  return new UsageError('USAGE_INVALID_OPTION', text, {
    hint: `choose one with --filesystem; ${devices}`,
  });
}

function linesOf(output: string): string[] {
  return output.split('\n').filter((line) => line !== '');
}
