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
  type StoredCodec,
  type UnchangedRun,
  type WantedBlock,
  type ZeroRun,
} from './pipeline/blocks.ts';
export { type BlockReaderOptions, createBlockReader } from './pipeline/blockReader.ts';
export { type ChangeFinderOptions, createChangeFinder } from './pipeline/changeFinder.ts';
export { type CompressorOptions, createCompressor } from './pipeline/compressor.ts';
export {
  createCandidateFilter,
  createDirtyZeroFilter,
  createFilterCounts,
  type FilterCounts,
} from './pipeline/dirtyZeroFilter.ts';
export { createExtentSource, type ExtentSourceOptions } from './pipeline/extentSource.ts';
export { FingerprintMap, type ParentDisk } from './pipeline/fingerprintMap.ts';
export {
  createFileReader,
  type FileReaderOptions,
  type FileRecord,
} from './pipeline/fileReader.ts';
export { createHashComparer, type HashComparerOptions } from './pipeline/hashComparer.ts';
export { callbackSink, ndjsonSink, nullSink, rawFileSink } from './pipeline/plainSinks.ts';
export {
  createSlab,
  type Slab,
  type SlabLease,
  type SlabOptions,
  type Slot,
} from './pipeline/slab.ts';
export {
  connect,
  type ConnectOptions,
  type Sink,
  type Source,
  type Stage,
  type StageFunction,
  type StageLike,
} from './pipeline/stage.ts';
export {
  createWorkerPool,
  type WorkerPool,
  type WorkerPoolOptions,
} from './pipeline/workerPool.ts';

export { createMemoryDevice, type MemoryDeviceOptions } from './devices/memoryDevice.ts';
export { openRawImage, type RawImage } from './devices/rawImageDevice.ts';

export type { RestorePoint, DiskPoint } from './repository/restorePoint.ts';
export type { DiskProgress } from './session/backupDisk.ts';
export {
  backupImages,
  type BackupImagesOptions,
} from './session/backupImages.ts';
export { inspectContainer, type InspectReport } from './session/inspectContainer.ts';
export {
  type FolderFailure,
  type ListedPoint,
  listRepository,
  type ListReport,
} from './session/listRepository.ts';
export type {
  DiskReport,
  EngineReport,
  SessionReport,
  StageSeconds,
} from './session/report.ts';
export type { KeepReason, RetentionPolicy } from './repository/retention.ts';
export {
  type PrunedPoint,
  type PrunedVm,
  type PruneOptions,
  pruneRepository,
  type PruneReport,
} from './session/pruneRepository.ts';
export {
  synthesizeFull,
  type SynthesizeOptions,
  type SynthesizeReport,
} from './session/synthesizeFull.ts';
export { rescanRepository, type RescanReport } from './session/rescanRepository.ts';
export type { ImageFormat, RestoredDisk } from './session/restoreDisk.ts';
export {
  restoreImages,
  type RestoreImagesOptions,
  type RestoreReport,
} from './session/restoreImages.ts';
export type { AuditReport } from './session/report.ts';
export type { HealingReport } from './session/healing.ts';
export type { PointHealth } from './repository/pointHealth.ts';
export type {
  DamagedUse,
  FoundDamage,
  VerifiedFile,
  VerifiedPoint,
} from './session/verifyReport.ts';
export {
  verifyRepository,
  type VerifyOptions,
  type VerifyReport,
} from './session/verifyRepository.ts';
export type { SessionMode } from './session/chainSession.ts';

export type { EngineSettings } from './ovirt/connection.ts';
export { DEFAULT_TIMINGS, type OvirtTimings, scaleTimings } from './ovirt/timings.ts';
export {
  backupVms,
  type BackupVmsOptions,
  type FailedSession,
  type JobReport,
} from './session/backupVms.ts';
export { type CleanupReport, cleanupVm, type CleanupVmOptions } from './session/cleanupVm.ts';
export {
  type PreflightDisk,
  type PreflightOptions,
  type PreflightReport,
  preflightVm,
} from './session/preflightVm.ts';
export { restoreVm, type RestoreVmOptions, type RestoreVmReport } from './session/restoreVm.ts';
export type { TargetFormat } from './session/targetDisk.ts';
export type { UploadedDisk } from './session/vmBuilder.ts';
