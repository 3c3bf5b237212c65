/** Public API of ovirt-cbt. Everything that is not exported here is internal. */

export type { CalendarSpan } from './core/calendarSpan.ts';
export {
  BackupError,
  CancelledError,
  EngineError,
  ERROR_CODES,
  type ErrorCode,
  EXIT_CODES,
  exitCodeOf,
  FormatError,
  IntegrityError,
  InternalError,
  OutputError,
  RepositoryError,
  TransferError,
  UsageError,
} from './core/errors.ts';
export type { Logger } from './core/log.ts';
export {
  MESSAGE_CODES,
  type MessageCode,
  type MessageLevel,
  type SessionMessage,
} from './core/messages.ts';
export { createStageStats, type StageStats } from './core/stats.ts';
export { formatBytes, parseBytes } from './core/units.ts';

export {
  type BlockDevice,
  type CandidateRun,
  type DataBlock,
  type DiskMode,
  type DiskTask,
  type Extent,
  type HashedBlock,
  type PackedBlock,
  type PipelineRecord,
  type PlannedRun,
  releaseSlot,
  type SinkBlock,
  type UnchangedRun,
  type WantedBlock,
  type ZeroRun,
} from './flow/records.ts';
export { type StoredCodec } from './compute/storedForm.ts';
export { type BlockReaderOptions, createBlockReader } from './flow/stages/blockReader.ts';
export { type ChangeFinderOptions, createChangeFinder } from './flow/stages/changeFinder.ts';
export { type CompressorOptions, createCompressor } from './flow/stages/compressor.ts';
export {
  createCandidateFilter,
  createDirtyZeroFilter,
  createFilterCounts,
  type FilterCounts,
} from './flow/stages/dirtyZeroFilter.ts';
export { createExtentSource, type ExtentSourceOptions } from './flow/stages/extentSource.ts';
export { FingerprintMap, type ParentDisk } from './flow/fingerprintMap.ts';
export {
  createFileReader,
  type FileReaderOptions,
  type FileRecord,
} from './flow/stages/fileReader.ts';
export { createHashComparer, type HashComparerOptions } from './flow/stages/hashComparer.ts';
export { callbackSink, ndjsonSink, nullSink, rawFileSink } from './flow/sinks/plainSinks.ts';
export {
  createSlab,
  type Slab,
  type SlabDirection,
  type SlabLease,
  type SlabOptions,
  type Slot,
} from './flow/slab.ts';
export {
  connect,
  type ConnectOptions,
  type Sink,
  type Source,
  type Stage,
  type StageFunction,
  type StageLike,
} from './flow/connect.ts';
export {
  createWorkerPool,
  type WorkerPool,
  type WorkerPoolOptions,
} from './compute/workerPool.ts';

export { createMemoryDevice, type MemoryDeviceOptions } from './devices/memoryDevice.ts';
export { openRawImage, type RawImage, type SourceFormat } from './devices/rawImageDevice.ts';

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
export { DEFAULT_TIMINGS, type OvirtTimings, scaleTimings } from './ovirt/timings.ts';
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

export {
  type OpenPoint,
  type OpenRepository,
  openRepository,
  type OpenRepositoryOptions,
} from './points/openRepository.ts';
export type {
  ChangedBlock,
  PointBlock,
  PointDisk,
  PointExtent,
  RangeOptions,
} from './points/pointDisk.ts';
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
