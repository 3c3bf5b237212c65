/**
 * Which disks a storage domain accepts, and what a body says about a new disk.
 * Source: oVirt contract (table of format, allocation, change tracking and kind of storage).
 */
import type { DiskBody } from '../bodies.ts';
import type { Engine } from '../core.ts';
import type { NewDisk } from './store.ts';
import { checkName, incompleteParameters, refusal, unknownParent } from '../refusals.ts';
import type { StorageDomainRow } from '../rows.ts';
import type { LabDiskFormat } from '../../types.ts';

export interface DiskShape {
  readonly format: LabDiskFormat;
  readonly sparse: boolean;
  readonly backup: 'none' | 'incremental';
}

/** True when a storage domain accepts disks of this shape. `isBlock`: iSCSI or FCP. */
export function isAllowed(shape: DiskShape, isBlock: boolean): boolean {
  const { format, sparse, backup } = shape;
  if (format === 'raw') return backup === 'none' && !(sparse && isBlock);
  return sparse || backup === 'incremental';
}

/** @throws EngineFault 409 */
function checkShape(shape: DiskShape, domain: StorageDomainRow): void {
  const isBlock = domain.type !== 'nfs';
  if (isAllowed(shape, isBlock)) return;
  const facts = [
    shape.format.toUpperCase(),
    shape.sparse ? 'Sparse' : 'Preallocated',
    `backup-${shape.backup}`,
  ];
  throw refusal(
    409,
    `Cannot add Virtual Disk. Disk configuration (${facts.join(' ')}) is incompatible with the storage domain type.`,
  );
}

function domainOf(engine: Engine, body: DiskBody): StorageDomainRow {
  const [wish, ...others] = body.storage_domains ?? [];
  if (!wish || others.length > 0 || (wish.id === undefined && wish.name === undefined)) {
    throw incompleteParameters('Disk', ['storageDomains.id|name'], 'add');
  }
  const domain = engine.domains.find(({ id, name }) => id === wish.id || name === wish.name);
  if (!domain) throw unknownParent(wish.id ?? wish.name ?? '');
  return domain;
}

function checkId(engine: Engine, id: string | undefined): void {
  if (id === undefined || !engine.disks.has(id)) return;
  throw refusal(409, `Cannot add Virtual Disk. The disk ID ${id} is already in use.`);
}

/** The disk that a create call asks for. @throws EngineFault */
export function newDiskOf(engine: Engine, body: DiskBody): NewDisk {
  const { format, provisioned_size: sizeBytes } = body;
  if (format === undefined || sizeBytes === undefined) {
    throw incompleteParameters('Disk', ['provisionedSize', 'format'], 'add');
  }
  checkName(body.name ?? body.alias ?? '', 'add Virtual Disk');
  const domain = domainOf(engine, body);
  checkId(engine, body.id);
  const shape: DiskShape = {
    format,
    sparse: body.sparse ?? format === 'cow',
    backup: body.backup ?? 'none',
  };
  checkShape(shape, domain);
  if (sizeBytes <= 0) throw refusal(400, 'Cannot add Virtual Disk. The size must be positive.');
  return {
    ...shape,
    id: body.id,
    name: body.name ?? body.alias ?? 'disk',
    description: body.description,
    sizeBytes,
    qcowVersion: body.qcow_version,
    contentType: body.content_type,
    shareable: body.shareable,
    wipeAfterDelete: body.wipe_after_delete,
    initialSizeBytes: body.initial_size,
    domain,
    status: 'locked',
  };
}
