/**
 * Faults of the engine by what a client should do about them. The engine gives no stable codes: status and key
 * phrases of its English texts decide, and an unknown text is just a fault.
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
  | 'no-reason'
  | 'other';

/** Phrase → kind, in the order of the engine's own checks. */
const PHRASES: readonly (readonly [RegExp, FaultKind])[] = [
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
  // The page of a gateway has no reason either, but says nothing about what the engine did.
  return status === 400 && (detail === '' || detail === '[]') ? 'no-reason' : 'other';
}

/** Faults that say that the disks of the VM are not what they were when its backup was planned. */
export function isPlanOutdated(kind: FaultKind): boolean {
  return kind === 'disk-inactive' || kind === 'disk-unknown' || kind === 'validation-failed';
}

/** Faults that pass by themselves: somebody else holds the VM or a disk. */
export function isBusy(kind: FaultKind): boolean {
  return kind === 'vm-busy' || kind === 'disk-busy';
}
