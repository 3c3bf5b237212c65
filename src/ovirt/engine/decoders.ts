/**
 * Decoders of the engine's answers, one per entity. Unknown values of enums stay text. Unknown
 * fields are dropped.
 *
 * @see oVirt api-model
 */
import { z } from 'zod';
import { EngineError } from '../../core/errors.ts';
import { count, dateMs, flag, id, listOf, reference, text, wholeNumber } from './wireValues.ts';
import type {
  ApiRoot,
  Backup,
  Checkpoint,
  Cluster,
  Disk,
  DiskAttachment,
  EngineEvent,
  Fault,
  ImageTransfer,
  Nic,
  Snapshot,
  StorageDomain,
  Vm,
  Volume,
} from './entities.ts';

export type Decoder<T> = z.ZodType<T>;

const version = z.object({ major: wholeNumber, minor: wholeNumber });

const disk: Decoder<Disk> = z
  .object({
    id,
    alias: text.optional(),
    name: text.optional(),
    description: text.default(''),
    format: text.default(''),
    backup: text.default('none'),
    backup_mode: text.optional(),
    qcow_version: text.optional(),
    sparse: flag.default(false),
    provisioned_size: count.optional(),
    actual_size: count.optional(),
    total_size: count.optional(),
    status: text.optional(),
    storage_type: text.default('image'),
    content_type: text.default('data'),
    shareable: flag.default(false),
    storage_domains: listOf('storage_domain', reference).optional(),
  })
  .transform((raw) => ({
    id: raw.id,
    alias: raw.alias ?? raw.name ?? raw.id,
    description: raw.description,
    format: raw.format,
    backup: raw.backup,
    backupMode: raw.backup_mode,
    qcowVersion: raw.qcow_version,
    sparse: raw.sparse,
    virtualSizeBytes: raw.provisioned_size,
    totalSizeBytes: raw.total_size ?? raw.actual_size ?? 0,
    status: raw.status,
    storageType: raw.storage_type,
    contentType: raw.content_type,
    shareable: raw.shareable,
    storageDomainIds: raw.storage_domains ?? [],
  }));

/** Without `follow` a disk is only a reference, which gives undefined. */
const followedDisk = z
  .unknown()
  .transform((value): unknown => {
    const isObject = typeof value === 'object' && value !== null;
    return isObject && ('storage_type' in value || 'format' in value) ? value : undefined;
  })
  .pipe(disk.optional());

const diskAttachment: Decoder<DiskAttachment> = z
  .object({
    id,
    active: flag.default(false),
    bootable: flag.default(false),
    interface: z
      .string()
      .regex(/^[a-z_]{1,40}$/)
      .catch('virtio_scsi'),
    read_only: flag.default(false),
    disk: followedDisk,
  })
  .transform((raw) => {
    const { read_only: readOnly, disk: followed, ...same } = raw;
    return { ...same, readOnly, disk: followed };
  });

const vm: Decoder<Vm> = z
  .object({
    id,
    name: text,
    description: text.default(''),
    status: text.default('unknown'),
    origin: text.default(''),
    cluster: reference.optional(),
    // Only a limit needs it, so an odd one must not spoil the list.
    host: reference.optional().catch(undefined),
    initialization: z.object({ configuration: z.object({ data: text }).optional() }).optional(),
    disk_attachments: listOf('disk_attachment', diskAttachment).optional(),
  })
  .transform((raw) => {
    const { cluster, host, initialization, disk_attachments: attachments, ...same } = raw;
    const ovf = initialization?.configuration?.data;
    return { ...same, clusterId: cluster, hostId: host, ovf, attachments };
  });

const nic: Decoder<Nic> = z
  .object({
    id,
    name: text.default(''),
    mac: z.object({ address: text.default('') }).optional(),
  })
  .transform(({ mac, ...same }) => ({ ...same, mac: mac?.address ?? '' }));

const backup: Decoder<Backup> = z
  .object({
    id,
    phase: text.default('unknown'),
    description: text.default(''),
    to_checkpoint_id: id.optional(),
    snapshot: reference.optional(),
  })
  .transform(({ to_checkpoint_id: toCheckpointId, snapshot: snapshotId, ...same }) => ({
    ...same,
    toCheckpointId,
    snapshotId,
  }));

const checkpoint: Decoder<Checkpoint> = z
  .object({
    id,
    state: text.default('created'),
    description: text.default(''),
    creation_date: dateMs.optional(),
    disks: listOf('disk', reference).optional(),
  })
  .transform(({ creation_date: createdAtMs, disks: diskIds, ...same }) => ({
    ...same,
    createdAtMs,
    diskIds,
  }));

const transfer: Decoder<ImageTransfer> = z
  .object({
    id,
    phase: text.default('unknown'),
    direction: text.optional(),
    image: reference.optional(),
    host: reference.optional(),
    transfer_url: text.optional(),
    proxy_url: text.optional(),
  })
  .transform((raw) => ({
    id: raw.id,
    phase: raw.phase,
    direction: raw.direction,
    diskId: raw.image,
    hostId: raw.host,
    transferUrl: raw.transfer_url,
    proxyUrl: raw.proxy_url,
  }));

const snapshot: Decoder<Snapshot> = z
  .object({ id, description: text.default(''), snapshot_status: text.default('ok') })
  .transform(({ snapshot_status: status, ...same }) => ({ ...same, status }));

const volume: Decoder<Volume> = z.object({ id, format: text.default('') });

const event: Decoder<EngineEvent> = z.object({
  code: wholeNumber.default(0),
  description: text.default(''),
  severity: text.default('normal'),
});

const storageDomain: Decoder<StorageDomain> = z
  .object({
    id,
    name: text.default(''),
    type: text.default(''),
    status: text.optional(),
    available: count.optional(),
    storage: z.object({ type: text.default('') }).optional(),
  })
  .transform(({ available: availableBytes, storage, ...same }) => ({
    ...same,
    status: same.status,
    availableBytes,
    storageType: storage?.type ?? '',
  }));

const cluster: Decoder<Cluster> = z
  .object({ id, name: text.default(''), version: version.optional() })
  .transform((raw) => ({ ...raw, version: raw.version }));

const apiRoot: Decoder<ApiRoot> = z
  .object({
    product_info: z.object({
      name: text.default(''),
      version: version.extend({
        build: wholeNumber.default(0),
        full_version: text.optional(),
      }),
    }),
  })
  .transform(({ product_info: { name: productName, version: known } }) => {
    const { full_version: full, ...numbers } = known;
    const fullVersion = full ?? `${numbers.major}.${numbers.minor}.${numbers.build}`;
    return { productName, version: numbers, fullVersion };
  });

const faultText = z.object({ reason: text.default(''), detail: text.default('') });
/** At the root for backups, transfers and deletes; inside `fault` for some actions. */
const fault: Decoder<Fault> = z.union([
  z.object({ fault: faultText }).transform((body) => body.fault),
  faultText,
]);

/** Decoders by kind of answer. */
export const wire: {
  readonly apiRoot: Decoder<ApiRoot>;
  readonly backup: Decoder<Backup>;
  readonly backups: Decoder<Backup[]>;
  readonly checkpoints: Decoder<Checkpoint[]>;
  readonly clusters: Decoder<Cluster[]>;
  readonly disk: Decoder<Disk>;
  readonly disks: Decoder<Disk[]>;
  readonly diskAttachments: Decoder<DiskAttachment[]>;
  readonly events: Decoder<EngineEvent[]>;
  readonly fault: Decoder<Fault>;
  readonly nics: Decoder<Nic[]>;
  readonly snapshot: Decoder<Snapshot>;
  readonly storageDomain: Decoder<StorageDomain>;
  readonly storageDomains: Decoder<StorageDomain[]>;
  readonly transfer: Decoder<ImageTransfer>;
  readonly transfers: Decoder<ImageTransfer[]>;
  readonly vm: Decoder<Vm>;
  readonly vms: Decoder<Vm[]>;
  readonly volumes: Decoder<Volume[]>;
  readonly anything: Decoder<unknown>;
} = {
  apiRoot,
  backup,
  backups: listOf('backup', backup),
  checkpoints: listOf('checkpoint', checkpoint),
  clusters: listOf('cluster', cluster),
  disk,
  disks: listOf('disk', disk),
  diskAttachments: listOf('disk_attachment', diskAttachment),
  events: listOf('event', event),
  fault,
  nics: listOf('nic', nic),
  snapshot,
  storageDomain,
  storageDomains: listOf('storage_domain', storageDomain),
  transfer,
  transfers: listOf('image_transfer', transfer),
  vm,
  vms: listOf('vm', vm),
  volumes: listOf('disk_snapshot', volume),
  /** For actions and deletes, whose answers are not used. */
  anything: z.unknown(),
};

/**
 * Decodes an answer.
 *
 * @param what - the request, for the error
 * @throws {@link EngineError} `ENGINE_BAD_ANSWER`
 */
export function decode<T>(schema: Decoder<T>, data: unknown, what: string): T {
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new EngineError(
    'ENGINE_BAD_ANSWER',
    `${what}: the engine's answer is not understood: ${issue?.path.join('.')}: ${issue?.message}`,
    {
      hint: 'check that the URL names an oVirt engine; report it with the engine version if it does',
    },
  );
}
