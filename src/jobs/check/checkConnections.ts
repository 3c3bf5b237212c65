/** Logs in to the engines of a job file, and opens its repositories. Nothing is changed there. */
import { type BackupError, toFailure, UsageError } from '../../core/errors.ts';
import { isPattern } from '../../core/namePattern.ts';
import { Repository } from '../../repository/repository.ts';
import { loginForPreflight } from '../../sessions/backup/vm/preflightVm.ts';
import { nearVms } from '../../sessions/backup/vm/vmInventory.ts';
import { selectVms } from '../../sessions/backup/vm/vmSelection.ts';
import type { SessionLogOptions } from '../../sessions/shared/sessionLog.ts';
import type { EngineConfig, JobConfig, JobFile, RepositoryConfig } from '../jobFile.ts';
import { engineSettings, storeOptionsOf } from '../config/connectionSettings.ts';

/** Result of a check: `facts` for people when it went well. */
export interface ConnectionCheck {
  readonly kind: 'engine' | 'job' | 'repository';
  readonly name: string;
  readonly facts: string;
  readonly failure: BackupError | undefined;
}

export interface CheckOptions extends SessionLogOptions {
  readonly signal: AbortSignal;
  readonly onStatus?: ((text: string) => void) | undefined;
}

/** A job may have hundreds. */
const MOST_NAMES = 10;

function vmCount(count: number): string {
  return count === 1 ? '1 VM' : `${count} VMs`;
}

type Engine = Awaited<ReturnType<typeof loginForPreflight>>;

async function checked(
  kind: ConnectionCheck['kind'],
  name: string,
  signal: AbortSignal,
  check: () => Promise<string>,
): Promise<ConnectionCheck> {
  try {
    return { kind, name, facts: await check(), failure: undefined };
  } catch (error) {
    signal.throwIfAborted();
    return { kind, name, facts: '', failure: toFailure(error, signal) };
  }
}

/** Plain names are not looked for before their sessions begin. */
async function requireNames(engine: Engine, names: readonly string[]): Promise<void> {
  const unknown: string[] = [];
  for (const name of names.filter((one) => !isPattern(one))) {
    if ((await engine.findVms(name)).length === 0) unknown.push(name);
  }
  const [first] = unknown;
  if (first === undefined) return;
  const near = await nearVms(engine, first);
  throw new UsageError('USAGE_NOT_FOUND', `the engine has no VM ${unknown.join(', ')}`, {
    hint: `${near}names are case-sensitive; the user must have rights on the VM`,
  });
}

/** A job selects VMs on its engine: a tag or a search may fit none. */
async function checkJob(
  engine: Engine,
  job: JobConfig,
  signal: AbortSignal,
): Promise<ConnectionCheck> {
  return await checked('job', job.name, signal, async () => {
    await requireNames(engine, job.vms.names ?? []);
    const { vms, unusedExclusions } = await selectVms(engine, job.vms);
    const unused = unusedExclusions.map((entry) => `; "${entry}" of "exclude" fits none`);
    const more = vms.length > MOST_NAMES ? [`${vms.length - MOST_NAMES} more`] : [];
    const names = [...vms.slice(0, MOST_NAMES), ...more].join(', ');
    return `${vmCount(vms.length)}: ${names}${unused.join('')}`;
  });
}

async function checkEngine(
  config: EngineConfig,
  jobs: readonly JobConfig[],
  options: CheckOptions,
): Promise<ConnectionCheck[]> {
  const { signal } = options;
  const checks: ConnectionCheck[] = [];
  const login = await checked('engine', config.name, signal, async () => {
    const settings = await engineSettings(config, undefined, signal);
    await using engine = await loginForPreflight({ ...options, engine: settings }, signal);
    const { productName, fullVersion } = await engine.root();
    for (const job of jobs) checks.push(await checkJob(engine, job, signal));
    return `login accepted, ${productName} ${fullVersion}`;
  });
  return [login, ...checks];
}

async function checkRepository(
  config: RepositoryConfig,
  options: CheckOptions,
): Promise<ConnectionCheck> {
  const { signal, onStatus } = options;
  return await checked('repository', config.name, signal, async () => {
    const store = storeOptionsOf(config, { signal, onWait: onStatus });
    const repository = await Repository.openIfMade(config.place, store);
    if (repository === undefined) return 'new: the first backup makes it';
    try {
      return `opened, ${vmCount((await repository.vmFolders()).length)}`;
    } finally {
      await repository.close();
    }
  });
}

/**
 * Checks all engines with the VMs of their jobs, then all repositories. A failure does not stop the
 * other checks.
 */
export async function checkConnections(
  file: JobFile,
  options: CheckOptions,
): Promise<ConnectionCheck[]> {
  const checks: ConnectionCheck[] = [];
  const jobs = [...file.jobs.values()];
  for (const engine of file.engines.values()) {
    const own = jobs.filter((job) => job.engine === engine);
    checks.push(...(await checkEngine(engine, own, options)));
  }
  for (const repository of file.repositories.values()) {
    checks.push(await checkRepository(repository, options));
  }
  return checks;
}
