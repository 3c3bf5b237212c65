/**
 * Kinds of faults of the engine. The engine gives no stable codes: the HTTP status and phrases of
 * its English texts decide. An unknown text is of kind `other`.
 *
 * @see ovirt-engine AppErrors.properties, StartVmBackupCommand, TransferDiskImageCommand
 */

export type FaultKind =
  | 'forbidden'
  | 'not-found'
  | 'vm-busy'
  | 'disk-busy'
  | 'disk-inactive'
  | 'disk-unknown'
  | 'validation-failed'
  | 'vm-state'
  | 'snapshot-preview'
  | 'hosted-engine'
  | 'checkpoint-unknown'
  | 'checkpoint-invalid'
  | 'incremental-refused'
  | 'active-transfer'
  | 'already-stopping'
  | 'backup-not-ready'
  | 'backup-gone'
  | 'storage-incompatible'
  | 'name-taken'
  | 'quota'
  | 'no-reason'
  | 'other';

/** Phrase → kind. The first match wins; the order is that of the engine's own checks. */
const PHRASES: readonly (readonly [RegExp, FaultKind])[] = [
  [/quota/i, 'quota'],
  [/active image transfer/i, 'active-transfer'],
  [/premature|already stopped|no need to stop/i, 'already-stopping'],
  [/hosted engine/i, 'hosted-engine'],
  [/previewing a snapshot/i, 'snapshot-preview'],
  [/should be in up or down status/i, 'vm-state'],
  [/during a backup operation|related operation is currently in progress/i, 'vm-busy'],
  [/during a checkpoint removal/i, 'vm-busy'],
  [/disks? (is|are) locked|is being transferred/i, 'disk-busy'],
  [/are not active on vm/i, 'disk-inactive'],
  [/disk\(s\) id\(s\) does not exist/i, 'disk-unknown'],
  [/general command validation failure/i, 'validation-failed'],
  [/checkpoint id .* doesn't exist|not included in the previous vm backup/i, 'checkpoint-unknown'],
  [/is invalid and should be removed/i, 'checkpoint-invalid'],
  [/incremental backup is (not supported|disabled)/i, 'incremental-refused'],
  [/not in ready phase/i, 'backup-not-ready'],
  [/vm backup does not exist|snapshot does not exist/i, 'backup-gone'],
  [/incompatible with the storage domain/i, 'storage-incompatible'],
  [/name .*(already|in use)|already (exists|in use)/i, 'name-taken'],
];

/** Classifies a fault by HTTP status and detail text. */
export function classifyFault(status: number, detail: string): FaultKind {
  if (status === 403) return 'forbidden';
  const known = PHRASES.find(([phrase]) => phrase.test(detail));
  if (known) return known[1];
  if (status === 404) return 'not-found';
  // Only 400: the page of a gateway has no reason either, but tells nothing about the engine.
  return status === 400 && (detail === '' || detail === '[]') ? 'no-reason' : 'other';
}

/** True for faults that mean that the disks of the VM have changed since its backup was planned. */
export function isPlanOutdated(kind: FaultKind): boolean {
  return kind === 'disk-inactive' || kind === 'disk-unknown' || kind === 'validation-failed';
}

/** True for faults that pass by themselves: another operation holds the VM or a disk. */
export function isBusy(kind: FaultKind): boolean {
  return kind === 'vm-busy' || kind === 'disk-busy';
}
