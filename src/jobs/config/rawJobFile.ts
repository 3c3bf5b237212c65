/** A job file as its schema gives it: values are checked, names and paths are as written. */
import type { MessageCode } from '../../core/messages.ts';
import type { RetentionPolicy } from '../../repository/retention/retention.ts';
import type { Immutability } from '../../store/store.ts';
import type { BackupConfig, JobLimits, MailConfig, NotifyEvent } from '../jobFile.ts';

type Given<T> = T | undefined;
/** A key that is not in the file may be missing here. */
type Loose<T> = { readonly [Key in keyof T]?: T[Key] | undefined };

export interface RawEngine {
  readonly url: string;
  readonly username: string;
  readonly passwordFile: string;
  readonly caFile?: Given<string>;
  readonly parallelVms?: Given<number>;
}

export interface RawRepository {
  readonly path?: Given<string>;
  readonly url?: Given<string>;
  readonly keyFile?: Given<string>;
  readonly cache?: Given<string>;
  /** Length of the lock in milliseconds. */
  readonly immutable?: Given<number>;
  readonly immutableMode?: Given<Immutability['mode']>;
  readonly noLock?: Given<boolean>;
}

export interface RawHook {
  readonly command: readonly string[];
  /** Milliseconds. */
  readonly timeout: number;
}

export interface RawMail {
  readonly host: string;
  readonly port?: Given<number>;
  readonly security: MailConfig['security'];
  readonly username?: Given<string>;
  readonly passwordFile?: Given<string>;
  readonly caFile?: Given<string>;
  readonly from: string;
  readonly to: readonly string[];
}

export interface RawWebhook {
  readonly url: string;
  readonly secretFile?: Given<string>;
  readonly caFile?: Given<string>;
  /** Milliseconds. */
  readonly timeout: number;
}

export interface RawReceiver {
  readonly on: readonly NotifyEvent[];
  readonly mail?: Given<RawMail>;
  readonly webhook?: Given<RawWebhook>;
  readonly command?: Given<RawHook>;
}

export interface RawVms {
  readonly all?: Given<boolean>;
  readonly names?: Given<readonly string[]>;
  readonly search?: Given<string>;
  readonly tags?: Given<readonly string[]>;
  readonly exclude?: Given<readonly string[]>;
}

export interface RawBackup
  extends Pick<BackupConfig, 'mode' | 'compression' | 'requireConsistency' | 'partialReads'> {
  /** Bytes. */
  readonly blockSize?: Given<number>;
  readonly connections?: Given<number>;
  readonly workers?: Given<number>;
  /** Ratio. */
  readonly audit?: Given<number>;
  /** Milliseconds. */
  readonly wait?: Given<number>;
}

export interface RawJob {
  readonly engine: string;
  readonly vms: RawVms;
  readonly excludeDisks: readonly string[];
  readonly repository: string;
  readonly schedule?: Given<string>;
  readonly timezone?: Given<string>;
  readonly window?: Given<{ readonly until: string }>;
  readonly backup: RawBackup;
  readonly limits: Loose<JobLimits> & Pick<JobLimits, 'parallelVms'>;
  readonly priority: number;
  readonly workerLabel?: Given<string>;
  /** The delay is in milliseconds. */
  readonly retry: { readonly times: number; readonly delay: number };
  readonly keep?: Given<RetentionPolicy>;
  /** The sample is a ratio. */
  readonly verify?: Given<{ readonly sample: number }>;
  readonly copyTo?: Given<string>;
  readonly hooks: { readonly before: readonly RawHook[]; readonly after: readonly RawHook[] };
  readonly notify: readonly string[];
  readonly accept: readonly MessageCode[];
  readonly strict: boolean;
}

export interface RawJobFile {
  readonly engines: Readonly<Record<string, RawEngine>>;
  readonly repositories: Readonly<Record<string, RawRepository>>;
  readonly jobs: Readonly<Record<string, RawJob>>;
  readonly notify: Readonly<Record<string, RawReceiver>>;
  readonly metrics?: Given<{ readonly textfile: string }>;
  readonly stateFolder?: Given<string>;
}
