/**
 * A job file, checked, with names resolved. Secrets are never in it: it names the files that hold
 * them. All paths are absolute.
 */
import type { Compression } from '../compute/compression.ts';
import type { MessageCode } from '../core/messages.ts';
import type { RetentionPolicy } from '../repository/retention/retention.ts';
import type { SessionMode } from '../sessions/backup/parent/parentChoice.ts';
import type { VmSelection } from '../sessions/backup/vm/vmSelection.ts';
import type { Immutability } from '../store/store.ts';

/** A file with a secret. */
export interface SecretFile {
  /** Absolute path. */
  readonly path: string;
  /**
   * Name in the folder of credentials that systemd gives to a unit (`LoadCredential`), such as
   * `engine-prod-password`. A file of this name there is used instead of `path`.
   */
  readonly credential: string;
}

export interface EngineConfig {
  readonly name: string;
  readonly url: string;
  readonly username: string;
  readonly password: SecretFile;
  readonly caFile: string | undefined;
  /** VMs of this engine whose sessions run at once, over all jobs of this process. */
  readonly parallelVms: number | undefined;
}

export interface RepositoryConfig {
  readonly name: string;
  /** Folder as absolute path, or `s3://bucket/prefix`. */
  readonly place: string;
  readonly key: SecretFile | undefined;
  readonly cache: string | undefined;
  readonly immutable: Immutability | undefined;
  readonly noLock: boolean;
}

/** A program that is started without a shell. */
export interface HookConfig {
  /** Program and arguments, at least one entry. */
  readonly command: readonly string[];
  readonly timeoutMs: number;
}

export interface MailConfig {
  readonly host: string;
  readonly port: number;
  /** `tls`: from the first byte. `starttls`: refused when the server does not offer it. */
  readonly security: 'tls' | 'starttls' | 'none';
  readonly username: string | undefined;
  readonly password: SecretFile | undefined;
  readonly caFile: string | undefined;
  readonly from: string;
  readonly to: readonly string[];
}

export interface WebhookConfig {
  readonly url: string;
  /** Key of the HMAC-SHA-256 over the body. */
  readonly secret: SecretFile | undefined;
  readonly caFile: string | undefined;
  readonly timeoutMs: number;
}

export type NotifyEvent = 'failure' | 'warning' | 'success' | 'recovered' | 'missed';

/** Somebody who is told. At least one of `mail`, `webhook` and `command` is given. */
export interface NotifyConfig {
  readonly name: string;
  readonly on: readonly NotifyEvent[];
  readonly mail: MailConfig | undefined;
  readonly webhook: WebhookConfig | undefined;
  readonly command: HookConfig | undefined;
}

/** Sessions of a run at once in one process: each has threads, connections and memory. */
export const LOCAL_SESSIONS = 16;

export interface JobLimits {
  /** Sessions at once in a run, 1 to 1000. One process runs at most {@link LOCAL_SESSIONS}. */
  readonly parallelVms: number;
  /** Sessions at once that read from the same storage domain. */
  readonly perStorageDomain: number | undefined;
  /** Sessions at once that read from VMs on the same hypervisor host. */
  readonly perHost: number | undefined;
  /** Bytes that all sessions of the run read in a second. */
  readonly bytesPerSecond: number | undefined;
}

/** How the sessions of a job read and store. */
export interface BackupConfig {
  readonly mode: SessionMode;
  readonly compression: Compression;
  readonly blockSizeBytes: number | undefined;
  /** Data requests at once per disk. */
  readonly connections: number | undefined;
  readonly workers: number | undefined;
  readonly requireConsistency: boolean;
  readonly partialReads: boolean;
  readonly auditRatio: number | undefined;
  readonly waitMs: number | undefined;
}

export interface JobConfig {
  readonly name: string;
  readonly engine: EngineConfig;
  readonly repository: RepositoryConfig;
  /** Tags are in `search`. */
  readonly vms: VmSelection;
  /** Names, ids or patterns of disks that are left out. A VM need not have such a disk. */
  readonly excludeDisks: readonly string[];
  /** Cron pattern of five fields; undefined for a job that only `run` starts. */
  readonly schedule: string | undefined;
  /** Name of a time zone of the IANA database; undefined for that of the machine. */
  readonly timezone: string | undefined;
  /** No session starts at or after this time of day, `HH:MM`, in the zone of the job. */
  readonly windowUntil: string | undefined;
  readonly backup: BackupConfig;
  readonly limits: JobLimits;
  /** Which job gets a free place of the engine first: 1 (highest) to 10. */
  readonly priority: number;
  /** `name=value`: only workers with this label run its sessions. */
  readonly workerLabel: string | undefined;
  /** VMs that failed are tried again when the others have ended. */
  readonly retry: { readonly times: number; readonly delayMs: number };
  readonly keep: RetentionPolicy | undefined;
  /** Share of the stored blocks of each VM's latest point that is read after the backups. */
  readonly verifySampleRatio: number | undefined;
  readonly copyTo: RepositoryConfig | undefined;
  readonly hooks: { readonly before: readonly HookConfig[]; readonly after: readonly HookConfig[] };
  readonly notify: readonly NotifyConfig[];
  /** Codes of messages of level `warn` that are known and need nobody: they count as notes. */
  readonly accept: readonly MessageCode[];
  /** Warnings make a run fail with exit code 3. */
  readonly strict: boolean;
}

export interface JobFile {
  /** Absolute path. */
  readonly path: string;
  /** By name, in the order of the file. */
  readonly engines: ReadonlyMap<string, EngineConfig>;
  readonly repositories: ReadonlyMap<string, RepositoryConfig>;
  readonly notify: ReadonlyMap<string, NotifyConfig>;
  readonly jobs: ReadonlyMap<string, JobConfig>;
  /** File in the text form of Prometheus, written after each run. */
  readonly metricsFile: string | undefined;
  /** Folder of the state of all jobs; undefined for the usual place. */
  readonly stateFolder: string | undefined;
}
