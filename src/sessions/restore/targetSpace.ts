/**
 * Free space of the storage domain of a restore: checked before, and again when an upload fails.
 */
import { BackupError, type ErrorCode, TransferError } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { StorageDomain } from '../../ovirt/engine/entities.ts';

/**
 * Errors of an upload when its storage is full. The server only says that a write failed; after
 * that the engine pauses the transfer, and the ticket is gone.
 */
const FULL_CODES = new Set<ErrorCode>(['TRANSFER_WRITE_FAILED', 'TRANSFER_TICKET_GONE']);

function findShortage(
  domain: StorageDomain,
  needBytes: number,
  cause?: unknown,
): TransferError | undefined {
  if (domain.availableBytes === undefined || needBytes <= domain.availableBytes) return undefined;
  const [need, free] = [formatBytes(needBytes), formatBytes(domain.availableBytes)];
  return new TransferError(
    'TRANSFER_TARGET_FULL',
    `storage domain ${domain.name}: ${need} are needed, ${free} are free`,
    { cause, hint: 'free space or choose another storage domain' },
  );
}

/** @throws {@link TransferError} `TRANSFER_TARGET_FULL` */
export function checkTargetSpace(domain: StorageDomain, needBytes: number): void {
  const shortage = findShortage(domain, needBytes);
  if (shortage) throw shortage;
}

/**
 * Returns `TRANSFER_TARGET_FULL` when `leftBytes`, which were still to be written, do not fit the
 * storage domain now. Otherwise returns `error`.
 */
export async function explainUploadFailure(
  engine: EngineApi,
  domain: StorageDomain,
  leftBytes: number,
  error: unknown,
): Promise<unknown> {
  if (!(error instanceof BackupError) || !FULL_CODES.has(error.code)) return error;
  const brief = engine.withSignal(AbortSignal.timeout(engine.timings.connectMs));
  const domains = await brief.storageDomains().catch(() => []);
  const now = domains.find(({ id }) => id === domain.id);
  return (now && findShortage(now, leftBytes, error)) ?? error;
}
