/**
 * Shapes of the bodies that the engine accepts. Each lists every property that clients send,
 * because an unknown one is refused (oVirt contract).
 */
import { z } from 'zod';
import type { BackupBody, DiskBody, RefBody, TransferBody } from '../../state/bodies.ts';
import { entityRef, flag, ignored, integer, listOf, ref, uuid } from './body.ts';

const diskRef = z
  .strictObject({ id: uuid, ...ignored('href', 'name', 'backup_mode') })
  .partial({ id: true });

export const backupBody: z.ZodType<BackupBody> = z.strictObject({
  id: uuid.optional(),
  description: z.string().optional(),
  from_checkpoint_id: uuid.optional(),
  disks: listOf('disk', diskRef),
  ...ignored('name', 'comment', 'to_checkpoint_id', 'vm', 'host', 'phase', 'snapshot', 'href'),
  ...ignored('creation_date', 'modification_date', 'link', 'actions'),
});

export const diskBody: z.ZodType<DiskBody> = z.strictObject({
  id: uuid.optional(),
  name: z.string().optional(),
  alias: z.string().optional(),
  description: z.string().optional(),
  format: z.enum(['cow', 'raw']).optional(),
  backup: z.enum(['none', 'incremental']).optional(),
  qcow_version: z.enum(['qcow2_v2', 'qcow2_v3']).optional(),
  sparse: flag.optional(),
  shareable: flag.optional(),
  bootable: flag.optional(),
  wipe_after_delete: flag.optional(),
  provisioned_size: integer.optional(),
  initial_size: integer.optional(),
  content_type: z
    .enum([
      'data',
      'ovf_store',
      'memory_dump_volume',
      'memory_metadata_volume',
      'iso',
      'hosted_engine',
    ])
    .optional(),
  storage_domains: listOf('storage_domain', ref),
  ...ignored('href', 'link', 'actions', 'actual_size', 'total_size', 'status', 'storage_type'),
  ...ignored('propagate_errors', 'disk_profile', 'quota', 'image_id', 'backup_mode', 'interface'),
  ...ignored('comment', 'active', 'read_only', 'logical_name', 'lun_storage', 'storage_domain'),
  ...ignored('image', 'snapshot', 'sgio', 'template', 'vm', 'vms', 'permissions', 'statistics'),
  ...ignored('instance_types', 'openstack_volume_type', 'uses_scsi_reservation', 'disk_snapshots'),
});

export interface AttachmentBody {
  readonly disk?: DiskBody | undefined;
  readonly interface?: string | undefined;
  readonly bootable?: boolean | undefined;
  readonly active?: boolean | undefined;
  readonly read_only?: boolean | undefined;
  readonly pass_discard?: boolean | undefined;
}

export const attachmentBody: z.ZodType<AttachmentBody> = z.strictObject({
  disk: diskBody.optional(),
  interface: z.enum(['ide', 'virtio', 'virtio_scsi', 'spapr_vscsi', 'sata']).optional(),
  bootable: flag.optional(),
  active: flag.optional(),
  read_only: flag.optional(),
  pass_discard: flag.optional(),
  ...ignored('id', 'href', 'link', 'logical_name', 'uses_scsi_reservation', 'vm'),
});

/** A change of an attachment. The lab can only plug a disk in or unplug it. */
export const plugBody: z.ZodType<{ readonly active: boolean }> = z.strictObject({ active: flag });

export interface NicBody {
  readonly mac?: { readonly address?: string | undefined } | undefined;
}

/** A change of a network card. The lab can only change its MAC address. */
export const nicBody: z.ZodType<NicBody> = z.strictObject({
  mac: z.strictObject({ address: z.string().optional() }).optional(),
  ...ignored('id', 'href', 'name', 'interface', 'vnic_profile', 'linked', 'plugged', 'vm'),
});

export interface ConvertBody {
  readonly disk?: DiskBody | undefined;
}

export const convertBody: z.ZodType<ConvertBody> = z.strictObject({
  disk: diskBody.optional(),
  ...ignored('async', 'correlation_id'),
});

/** Body of an action without parameters. */
export const actionBody: z.ZodType<object> = z.strictObject({
  ...ignored('async', 'correlation_id', 'reason', 'force', 'grace_period'),
});

export const transferBody: z.ZodType<TransferBody> = z.strictObject({
  disk: entityRef.optional(),
  snapshot: entityRef.optional(),
  image: ref.optional(),
  backup: entityRef.optional(),
  host: entityRef.optional(),
  direction: z.enum(['upload', 'download']).optional(),
  format: z.enum(['cow', 'raw']).optional(),
  inactivity_timeout: integer.optional(),
  timeout_policy: z.enum(['legacy', 'pause', 'cancel']).optional(),
  shallow: flag.optional(),
  ...ignored('id', 'href', 'name', 'phase', 'comment', 'description', 'active', 'transferred'),
  ...ignored('transfer_url', 'proxy_url', 'link', 'actions'),
});

export interface EventBody {
  readonly origin?: string | undefined;
  readonly severity?: 'normal' | 'warning' | 'error' | 'alert' | undefined;
  readonly custom_id?: number | undefined;
  readonly description?: string | undefined;
  readonly vm?: RefBody | undefined;
}

export const eventBody: z.ZodType<EventBody> = z.strictObject({
  origin: z.string().optional(),
  severity: z.enum(['normal', 'warning', 'error', 'alert']).optional(),
  custom_id: integer.optional(),
  description: z.string().optional(),
  vm: ref.optional(),
  ...ignored('custom_data', 'flood_rate', 'cluster', 'data_center', 'host', 'storage_domain'),
  ...ignored('template', 'user', 'correlation_id', 'code', 'time'),
});

export interface SnapshotBody {
  readonly description?: string | undefined;
  readonly persist_memorystate?: boolean | undefined;
  readonly disk_attachments?: readonly AttachmentBody[] | undefined;
}

export const snapshotBody: z.ZodType<SnapshotBody> = z.strictObject({
  description: z.string().optional(),
  persist_memorystate: flag.optional(),
  disk_attachments: listOf('disk_attachment', attachmentBody),
  ...ignored('id', 'name', 'vm', 'date'),
});

export interface VmBody {
  readonly name?: string | undefined;
  readonly description?: string | undefined;
  readonly cluster?: RefBody | undefined;
  readonly template?: RefBody | undefined;
  readonly memory?: number | undefined;
  readonly cpu?: {
    readonly topology?: {
      readonly sockets?: number | undefined;
      readonly cores?: number | undefined;
      readonly threads?: number | undefined;
    };
  };
  readonly os?: { readonly type?: string | undefined };
  readonly bios?: { readonly type?: string | undefined };
  readonly custom_compatibility_version?: { readonly major: number; readonly minor: number };
  readonly initialization?: {
    readonly regenerate_ids?: boolean | undefined;
    readonly configuration?: { readonly type?: string | undefined; readonly data?: string };
  };
}

const topologyBody = z
  .strictObject({ sockets: integer, cores: integer, threads: integer })
  .partial();

export const vmBody: z.ZodType<VmBody> = z.strictObject({
  name: z.string().optional(),
  description: z.string().optional(),
  cluster: ref.optional(),
  template: ref.optional(),
  memory: integer.optional(),
  cpu: z.object({ topology: topologyBody.exactOptional() }).exactOptional(),
  os: z.object({ type: z.string().optional() }).exactOptional(),
  bios: z.object({ type: z.string().optional() }).exactOptional(),
  custom_compatibility_version: z.object({ major: integer, minor: integer }).exactOptional(),
  initialization: z
    .strictObject({
      regenerate_ids: flag.optional(),
      ...ignored('host_name', 'user_name', 'root_password', 'custom_script', 'cloud_init'),
      ...ignored(
        'nic_configurations',
        'dns_servers',
        'dns_search',
        'timezone',
        'authorized_ssh_keys',
      ),
      configuration: z
        .strictObject({ type: z.enum(['ovf', 'ova']).optional(), data: z.string().exactOptional() })
        .exactOptional(),
    })
    .exactOptional(),
  ...ignored('id', 'href', 'status', 'type', 'comment', 'memory_policy', 'display', 'console'),
  ...ignored('origin', 'delete_protected', 'high_availability', 'stateless', 'time_zone', 'usb'),
  ...ignored('placement_policy', 'io', 'start_paused', 'custom_properties', 'fqdn', 'link'),
  ...ignored('storage_domain', 'quota', 'nics', 'disk_attachments', 'serial_number', 'actions'),
  ...ignored('affinity_labels', 'auto_pinning_policy', 'cpu_pinning_policy', 'cpu_profile'),
  ...ignored(
    'cpu_shares',
    'creation_time',
    'custom_cpu_model',
    'custom_emulated_machine',
    'domain',
  ),
  ...ignored('guest_operating_system', 'guest_time_zone', 'has_illegal_images', 'host', 'lease'),
  ...ignored('host_devices', 'instance_type', 'large_icon', 'small_icon', 'migration', 'payloads'),
  ...ignored('migration_downtime', 'multi_queues_enabled', 'next_run_configuration_exists'),
  ...ignored('numa_nodes', 'numa_tune_mode', 'original_template', 'rng_device', 'run_once', 'sso'),
  ...ignored('snapshots', 'checkpoints', 'backups', 'soundcard_enabled', 'start_time', 'stop_time'),
  ...ignored('stop_reason', 'storage_error_resume_behaviour', 'tags', 'tpm_enabled', 'virtio_scsi'),
  ...ignored('tunnel_migration', 'use_latest_template_version', 'watchdogs', 'cdroms'),
  ...ignored('virtio_scsi_multi_queues', 'virtio_scsi_multi_queues_enabled', 'graphics_consoles'),
});
