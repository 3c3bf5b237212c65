/** Compares the summary and properties of a container with the chain metadata. */
import { textProperty } from '../../container/format/properties.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import { type PointReader, readSummary } from '../../repository/pointReader.ts';
import type { DiskPoint, RestorePoint } from '../../repository/restorePoint.ts';

/** Fields that are not compared: they are known only after the container is written. */
const OF_THE_FILE: ReadonlySet<string> = new Set(['fileName', 'fileBytes', 'lockedUntil']);

function text(value: unknown): string {
  return value === undefined || value === '' ? 'nothing' : JSON.stringify(value);
}

/** Differences of simple fields (not objects) between two records, one line each. */
function fieldDifferences(what: string, inside: object, listed: object): string[] {
  const other = new Map(Object.entries(listed));
  const keys = new Set([...Object.keys(inside), ...other.keys()]);
  const own = new Map(Object.entries(inside));
  return [...keys].flatMap((key) => {
    const [a, b] = [own.get(key) as unknown, other.get(key) as unknown];
    if (typeof a === 'object' || typeof b === 'object' || OF_THE_FILE.has(key) || a === b)
      return [];
    return [`${what}: ${key} is ${text(a)} here and ${text(b)} in the chain metadata`];
  });
}

function disksById({ disks }: RestorePoint): ReadonlyMap<string, DiskPoint> {
  return new Map(disks.map((disk) => [disk.diskId, disk]));
}

function diskDifferences(inside: RestorePoint, listed: RestorePoint): string[] {
  const [own, other] = [disksById(inside), disksById(listed)];
  return [...new Set([...own.keys(), ...other.keys()])].flatMap((diskId) => {
    const [a, b] = [own.get(diskId), other.get(diskId)];
    if (a && b) return fieldDifferences(`disk ${diskId}`, a, b);
    return [`disk ${diskId} is ${a ? 'here and not' : 'not here but'} in the chain metadata`];
  });
}

/** Properties of the container's top folder that the chain metadata determines. */
function expectedProperties(
  point: RestorePoint,
  parent: RestorePoint | undefined,
): ReadonlyMap<string, string> {
  return new Map([
    ['RestorePointNumber', String(point.number)],
    ['RestorePointType', point.type === 'full' ? 'Full' : 'Increment'],
    ['CheckpointId', point.checkpointId],
    ['CreationTimeUtcMs', String(Date.parse(point.createdAt))],
    ...(parent ? [['ParentCheckpointId', parent.checkpointId] as const] : []),
  ]);
}

function propertyDifferences(opened: PointReader, parent: RestorePoint | undefined): string[] {
  const top = opened.items.find((item) => item.kind === 'folder');
  return [...expectedProperties(opened.point, parent)].flatMap(([name, expected]) => {
    const found = top?.properties?.find((property) => property.name === name)?.value;
    const actual = textProperty(top?.properties, name) ?? String(found ?? '');
    if (actual === expected) return [];
    return [`property ${name} is ${text(actual)}, expected is ${text(expected)}`];
  });
}

/**
 * Compares summary and properties of a container with the chain metadata. Names of VMs and files
 * are not compared, because they may change.
 *
 * @param parent - parent of the point, as the chain metadata lists it.
 * @returns one line per difference.
 * @throws a {@link BackupError} when the summary cannot be read
 */
export async function metadataDifferences(
  opened: PointReader,
  vmId: string,
  parent: RestorePoint | undefined,
  codecs: BlockCodecs,
): Promise<string[]> {
  const { vm, point } = await readSummary(opened.reader, codecs);
  const listed = opened.point;
  const fileBytes = opened.reader.snapshot.fileBytes;
  return [
    ...(vm.id === vmId ? [] : [`belongs to VM ${vm.id}, not ${vmId}`]),
    ...(fileBytes === listed.fileBytes
      ? []
      : [`has ${fileBytes} B, and ${listed.fileBytes} B in the chain metadata`]),
    ...fieldDifferences('restore point', point, listed),
    ...diskDifferences(point, listed),
    ...propertyDifferences(opened, parent),
  ];
}
