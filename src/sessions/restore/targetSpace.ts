/** Room on the storage domain of a restore: asked for before, and looked at again when an upload fails. */
import { BackupError, type ErrorCode, TransferError } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { StorageDomain } from '../../ovirt/engine/entities.ts';

/** How an upload ends whose storage is full: the server says no more than that it failed, then it is paused. */
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

/** The same error, or `TRANSFER_TARGET_FULL` when what was still to be written does not fit any more. */
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
