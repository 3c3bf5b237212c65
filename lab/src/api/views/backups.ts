/**
 * Backups, checkpoints and image transfers as the API shows them.
 * Source: oVirt contract: a backup shows its checkpoint from `ready` on. A transfer shows neither
 * its disk nor its backup, and has URLs only while it has a ticket.
 */
import type { Engine } from '../../state/core.ts';
import type { BackupRow, CheckpointRow, TransferRow } from '../../state/rows.ts';
import { entity, reference, type WireRecord } from '../http/wire.ts';

/** A port that refuses connections. */
const UNREACHABLE_ORIGIN = 'https://127.0.0.1:1';

export function backupPath(backup: BackupRow): string {
  return `vms/${backup.vmId}/backups/${backup.id}`;
}

export function backupView(backup: BackupRow): WireRecord {
  const { vmId } = backup;
  return entity({
    id: backup.id,
    path: backupPath(backup),
    fields: {
      phase: backup.phase,
      description: backup.description === '' ? undefined : backup.description,
      creation_date: backup.createdAt,
      modification_date: backup.modifiedAt,
      from_checkpoint_id: backup.fromCheckpointId,
      to_checkpoint_id: backup.wasReady ? backup.toCheckpointId : undefined,
      host: reference(backup.hostId, 'hosts'),
      snapshot: reference(backup.snapshotId, `vms/${vmId}/snapshots`),
      vm: reference(vmId, 'vms'),
    },
    links: ['disks'],
    actions: ['finalize'],
  });
}

export function checkpointPath(checkpoint: CheckpointRow): string {
  return `vms/${checkpoint.vmId}/checkpoints/${checkpoint.id}`;
}

export function checkpointView(checkpoint: CheckpointRow): WireRecord {
  return entity({
    id: checkpoint.id,
    path: checkpointPath(checkpoint),
    fields: {
      parent_id: checkpoint.parentId,
      state: checkpoint.state,
      creation_date: checkpoint.createdAt,
      description: checkpoint.description === '' ? undefined : checkpoint.description,
      vm: reference(checkpoint.vmId, 'vms'),
    },
    links: ['disks'],
  });
}

function transferUrl(origin: string, ticketId: string | undefined): string | undefined {
  return ticketId === undefined ? undefined : `${origin}/images/${ticketId}`;
}

export function transferView(engine: Engine, transfer: TransferRow): WireRecord {
  const { directOrigin, proxyOrigin } = engine.plane;
  const origin = engine.behaviour.directUrlUnreachable ? UNREACHABLE_ORIGIN : directOrigin;
  return entity({
    id: transfer.id,
    path: `imagetransfers/${transfer.id}`,
    fields: {
      phase: transfer.phase,
      direction: transfer.direction,
      format: transfer.format,
      active: transfer.isActive,
      transferred: transfer.transferredBytes,
      inactivity_timeout: transfer.inactivitySeconds,
      timeout_policy: transfer.policy,
      shallow: transfer.shallow,
      host: reference(transfer.hostId, 'hosts'),
      image: { id: transfer.diskId },
      transfer_url: transferUrl(origin, transfer.ticketId),
      proxy_url: transferUrl(proxyOrigin, transfer.ticketId),
    },
    actions: ['resume', 'cancel', 'finalize'],
  });
}
