/**
 * Main entry of the library. Everything that is exported neither here nor by `stages.ts` is
 * internal.
 */

export type { CalendarSpan } from './core/calendarSpan.ts';
export { BackupError, type ErrorCode, exitCodeOf } from './core/errors.ts';
export type { Logger } from './core/log.ts';
export type { MessageCode, MessageLevel, SessionMessage } from './core/messages.ts';
export { formatBytes, parseBytes } from './core/units.ts';

export type { BlockDevice, DiskMode, Extent } from './flow/records.ts';
export type { Compression } from './compute/compression.ts';
export type { StoredCodec } from './compute/storedForm.ts';
export type { SourceFormat } from './devices/rawImageDevice.ts';

export type { RestorePoint, DiskPoint } from './repository/restorePoint.ts';
export type {
  ProgressCounts,
  ProgressDisk,
  ProgressEvent,
  ProgressPhase,
  ProgressResult,
} from './sessions/shared/progress.ts';
export {
  backupImages,
  type BackupImagesOptions,
} from './sessions/backup/backupImages.ts';
export type { ImageSource } from './sessions/backup/imagePlan.ts';
export {
  inspectContainer,
  type InspectOptions,
  type InspectReport,
} from './sessions/inspect/inspectContainer.ts';
export { type FolderFailure } from './sessions/shared/folderFailures.ts';
export {
  type ListedPoint,
  type ListOptions,
  listRepository,
  type ListReport,
} from './sessions/inspect/listRepository.ts';
export type {
  DiskReport,
  EngineReport,
  SessionReport,
  StageSeconds,
} from './sessions/shared/report.ts';
export type { KeepReason, RetentionPolicy } from './repository/retention/retention.ts';
export { type PruneOptions, pruneRepository } from './sessions/retention/pruneRepository.ts';
export type { PrunedPoint, PrunedVm, PruneReport } from './sessions/retention/pruneReport.ts';
export {
  synthesizeFull,
  type SynthesizeOptions,
  type SynthesizeReport,
} from './sessions/retention/synthesizeFull.ts';
export {
  type RescanOptions,
  rescanRepository,
  type RescanReport,
} from './sessions/cleanup/rescanRepository.ts';
export { type CopyOptions, copyPoints } from './sessions/copy/copyPoints.ts';
export type { CopiedPoint, CopiedVm, CopyReport, FailedPoint } from './sessions/copy/copyReport.ts';
export type { Immutability, StoreOptions } from './store/store.ts';
export type { ImageFormat, RestoredDisk } from './sessions/restore/restoreDisk.ts';
export type { DiskHole } from './repository/damage/salvageBlocks.ts';
export {
  type FailedDisk,
  restoreImages,
  type RestoreImagesOptions,
  type RestoreReport,
} from './sessions/restore/restoreImages.ts';
export type { AuditReport } from './sessions/shared/report.ts';
export type { HealingReport } from './sessions/shared/report.ts';
export type { PointHealth } from './repository/damage/pointHealth.ts';
export type {
  DamagedUse,
  FoundDamage,
  VerifiedFile,
  VerifiedPoint,
} from './sessions/verify/verifyReport.ts';
export {
  verifyRepository,
  type VerifyOptions,
  type VerifyReport,
} from './sessions/verify/verifyRepository.ts';
export type { SessionMode } from './sessions/backup/parent/parentChoice.ts';

export type { EngineSettings } from './ovirt/connection.ts';
export { type OvirtTimings, scaleTimings } from './ovirt/timings.ts';
export type { VmSelection } from './sessions/backup/vm/vmSelection.ts';
export {
  type PreflightJobReport,
  preflightVms,
  type PreflightVmsOptions,
} from './sessions/backup/vm/preflightVms.ts';
export {
  backupVms,
  type BackupVmsOptions,
  type FailedSession,
  type JobReport,
} from './sessions/backup/backupVms.ts';
export {
  type CleanupReport,
  cleanupVm,
  type CleanupVmOptions,
} from './sessions/cleanup/cleanupVm.ts';
export {
  type PreflightDisk,
  type PreflightOptions,
  type PreflightReport,
  preflightVm,
} from './sessions/backup/vm/preflightVm.ts';
export {
  restoreVm,
  type RestoreVmOptions,
  type RestoreVmReport,
} from './sessions/restore/restoreVm.ts';
export type { MacChoice, RestoredNic } from './sessions/restore/restoreNics.ts';
export type { TargetFormat } from './sessions/restore/targetDisk.ts';
export type { UploadedDisk } from './sessions/restore/vmBuilder.ts';

export { openFiles, type OpenFilesOptions } from './points/openFiles.ts';
export type { OpenPoint } from './points/openPoint.ts';
export { type OpenRepository, openRepository } from './points/openRepository.ts';
export type { OpenRepositoryOptions } from './points/sharedParts.ts';
export type { PointDisk } from './points/pointDisk.ts';
export type {
  ChangedBlock,
  DiskServer,
  PointBlock,
  PointExtent,
  RangeOptions,
  ServeAddress,
  ServeDiskOptions,
  ServedCounts,
  ServedOverlay,
} from './points/pointTypes.ts';
export type { BlockSink, PipedBlock, PipedRecord, PipedZero } from './flow/sinks/blockSink.ts';
export { openImage, type OpenImageOptions } from './sessions/pipe/openImage.ts';
export { openVm, type OpenVmOptions } from './sessions/pipe/openVm.ts';
export type { FinishReport, OpenBackup } from './sessions/pipe/openBackup.ts';
export type {
  DiskSink,
  OpenDisk,
  PipeOptions,
  PipeProgress,
  PipeReport,
  WritableOptions,
} from './sessions/pipe/openDisk.ts';
