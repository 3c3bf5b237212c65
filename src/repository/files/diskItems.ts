/** Which items of a folder are disks, by their names and properties. Pure. */
import path from 'node:path';
import type { ContainerItem } from '../../container/format/items.ts';

/** Configuration, indexes and lists beside the disks of a machine. */
const NO_DISK =
  /^(digest_|fingerprints_|GuestMembers|BackupComponents)|\.(xml|vmx|vmxf|vmsd|vmss|vmem|nvram|ovf|vmcx|vmrs|vmgs|vsv|bin|log|txt)$/i;
const DESCRIPTOR = /(?<!-flat)\.vmdk$/i;
const GUID = /^\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?$/i;
const DISK = /^(DEV__.+|.+\.(vhdx|vhd|avhdx)|.+-flat\.vmdk|[0-9A-F]{8})$/i;
const IMAGE_KIND = /\.(vhdx|vhd|avhdx)$|-flat\.(vmdk)$/i;

export function nameOfItem({ path: itemPath }: ContainerItem): string {
  return path.posix.basename(itemPath);
}

/**
 * Kind of the image file that an item is, such as `vhdx`. Its bytes are that file. Undefined for an
 * item that holds the bytes of a disk.
 */
export function imageKindOf(name: string): string | undefined {
  const match = IMAGE_KIND.exec(name);
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

/** True for an image file whose bytes are not those of the disk in it. */
export function wrapsDisk(name: string): boolean {
  const kind = imageKindOf(name);
  return kind !== undefined && kind !== 'vmdk';
}

function looksLikeDisk(item: ContainerItem, name: string): boolean {
  const hasMask = item.properties?.some((property) => property.name === 'DefinedBlocksMask');
  return GUID.test(name) || DISK.test(name) || hasMask === true || item.kind !== 'file';
}

/**
 * True for an item that holds a disk.
 *
 * @param listed - names of all files of the machine, as the summary lists them. Without a list,
 *   every item that is not known as something else is a disk.
 */
export function isDiskItem(item: ContainerItem, listed: ReadonlySet<string> | undefined): boolean {
  const name = nameOfItem(item);
  if (item.kind === 'folder' || NO_DISK.test(name) || DESCRIPTOR.test(name)) return false;
  return !listed || listed.has(name) || looksLikeDisk(item, name);
}
