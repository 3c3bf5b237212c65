/** Resolves the names and paths of a job file. Its references are known to be right. */
import path from 'node:path';
import { invariant } from '../../core/errors.ts';
import type {
  EngineConfig,
  HookConfig,
  JobConfig,
  JobFile,
  MailConfig,
  NotifyConfig,
  RepositoryConfig,
  SecretFile,
  WebhookConfig,
} from '../jobFile.ts';
import { searchWithTags } from './places.ts';
import type {
  RawEngine,
  RawHook,
  RawJob,
  RawJobFile,
  RawMail,
  RawReceiver,
  RawRepository,
  RawWebhook,
} from './rawJobFile.ts';

const MAIL_PORTS: Readonly<Record<MailConfig['security'], number>> = {
  tls: 465,
  starttls: 587,
  none: 25,
};

function mapOf<Raw, Value>(
  raw: Readonly<Record<string, Raw>>,
  resolve: (value: Raw, name: string) => Value,
): ReadonlyMap<string, Value> {
  return new Map(Object.entries(raw).map(([name, value]) => [name, resolve(value, name)]));
}

function known<Value>(values: ReadonlyMap<string, Value>, name: string): Value {
  const value = values.get(name);
  invariant(value !== undefined, 'a reference of a job file is not checked');
  return value;
}

/** Paths of a job file are relative to its folder. */
class Resolver {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  #path(file: string | undefined): string | undefined {
    return file === undefined ? undefined : path.resolve(this.#folder, file);
  }

  #secret(file: string, credential: string): SecretFile {
    return { path: path.resolve(this.#folder, file), credential };
  }

  #secretIf(file: string | undefined, credential: string): SecretFile | undefined {
    return file === undefined ? undefined : this.#secret(file, credential);
  }

  engine(raw: RawEngine, name: string): EngineConfig {
    const { url, username, passwordFile, caFile, parallelVms } = raw;
    const password = this.#secret(passwordFile, `engine-${name}-password`);
    return { name, url, username, password, caFile: this.#path(caFile), parallelVms };
  }

  repository(raw: RawRepository, name: string): RepositoryConfig {
    const { immutable, immutableMode: mode = 'compliance', noLock = false } = raw;
    return {
      name,
      place: raw.url ?? path.resolve(this.#folder, raw.path ?? ''),
      key: this.#secretIf(raw.keyFile, `repository-${name}-key`),
      cache: this.#path(raw.cache),
      immutable: immutable === undefined ? undefined : { periodMs: immutable, mode },
      noLock,
    };
  }

  /** A program without a folder is looked for in the PATH. */
  hook({ command: [program = '', ...args], timeout: timeoutMs }: RawHook): HookConfig {
    const file = program.includes('/') ? path.resolve(this.#folder, program) : program;
    return { command: [file, ...args], timeoutMs };
  }

  #mail(raw: RawMail, name: string): MailConfig {
    const { host, security, username, from, to, port = MAIL_PORTS[security] } = raw;
    const password = this.#secretIf(raw.passwordFile, `notify-${name}-mail-password`);
    const caFile = this.#path(raw.caFile);
    return { host, port, security, username, password, caFile, from, to };
  }

  #webhook({ url, secretFile, caFile, timeout }: RawWebhook, name: string): WebhookConfig {
    const secret = this.#secretIf(secretFile, `notify-${name}-webhook-secret`);
    return { url, secret, caFile: this.#path(caFile), timeoutMs: timeout };
  }

  receiver({ on, mail, webhook, command }: RawReceiver, name: string): NotifyConfig {
    return {
      name,
      on,
      mail: mail && this.#mail(mail, name),
      webhook: webhook && this.#webhook(webhook, name),
      command: command && this.hook(command),
    };
  }
}

function vmSelection({ all, names, search, tags = [], exclude }: RawJob['vms']): JobConfig['vms'] {
  return { all, names, search: searchWithTags(search, tags), exclude };
}

function backupConfig(raw: RawJob['backup']): JobConfig['backup'] {
  const { blockSize, audit, wait, ...others } = raw;
  return {
    ...others,
    connections: raw.connections,
    workers: raw.workers,
    blockSizeBytes: blockSize,
    auditRatio: audit,
    waitMs: wait,
  };
}

/** @param file - absolute path of the job file. */
export function resolveJobFile(raw: RawJobFile, file: string): JobFile {
  const folder = path.dirname(file);
  const resolver = new Resolver(folder);
  const engines = mapOf(raw.engines, (value, name) => resolver.engine(value, name));
  const repositories = mapOf(raw.repositories, (value, name) => resolver.repository(value, name));
  const notify = mapOf(raw.notify, (value, name) => resolver.receiver(value, name));
  const jobOf = (job: RawJob, name: string): JobConfig => ({
    name,
    engine: known(engines, job.engine),
    repository: known(repositories, job.repository),
    vms: vmSelection(job.vms),
    excludeDisks: job.excludeDisks,
    schedule: job.schedule,
    timezone: job.timezone,
    windowUntil: job.window?.until,
    backup: backupConfig(job.backup),
    limits: {
      parallelVms: job.limits.parallelVms,
      perStorageDomain: job.limits.perStorageDomain,
      perHost: job.limits.perHost,
      bytesPerSecond: job.limits.bytesPerSecond,
    },
    priority: job.priority,
    workerLabel: job.workerLabel,
    retry: { times: job.retry.times, delayMs: job.retry.delay },
    keep: job.keep,
    verifySampleRatio: job.verify?.sample,
    copyTo: job.copyTo === undefined ? undefined : known(repositories, job.copyTo),
    hooks: {
      before: job.hooks.before.map((hook) => resolver.hook(hook)),
      after: job.hooks.after.map((hook) => resolver.hook(hook)),
    },
    notify: [...new Set(job.notify)].map((receiver) => known(notify, receiver)),
    accept: job.accept,
    strict: job.strict,
  });
  return {
    path: file,
    engines,
    repositories,
    notify,
    jobs: mapOf(raw.jobs, jobOf),
    metricsFile: raw.metrics && path.resolve(folder, raw.metrics.textfile),
    stateFolder: raw.stateFolder === undefined ? undefined : path.resolve(folder, raw.stateFolder),
  };
}
