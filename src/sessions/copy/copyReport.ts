/** The report of a copy between repositories. */
import type { ErrorCode } from '../../core/errors.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { FolderFailure } from '../shared/folderFailures.ts';

export interface CopiedPoint {
  readonly pointId: string;
  readonly number: number;
  /** At the target. A point whose parent is not there becomes a full. */
  readonly type: RestorePoint['type'];
  readonly fileName: string;
  readonly fileBytes: number;
  /** True when its container was read again at the target, and all of it was as written. */
  readonly isVerified: boolean;
}

/** A point that was not copied, because it or its copy is damaged. */
export interface FailedPoint {
  readonly pointId: string;
  readonly number: number;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

export interface CopiedVm {
  readonly vmName: string;
  readonly vmId: string;
  /** Folder of the VM at the target. */
  readonly folder: string;
  readonly copied: readonly CopiedPoint[];
  /** Points that the target held before. */
  readonly presentCount: number;
  readonly failed: readonly FailedPoint[];
  readonly messages: readonly SessionMessage[];
}

export interface CopyReport {
  readonly type: 'copy';
  readonly from: string;
  readonly to: string;
  readonly durationSeconds: number;
  readonly vms: readonly CopiedVm[];
  /** VMs that failed as a whole. Points of them that were copied before stay. */
  readonly failures: readonly FolderFailure[];
}
