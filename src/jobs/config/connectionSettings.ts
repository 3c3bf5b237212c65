/** Engines and repositories of a job file as settings of sessions. */
import type { EngineSettings } from '../../ovirt/connection.ts';
import type { OvirtTimings } from '../../ovirt/timings.ts';
import type { StoreOptions } from '../../store/store.ts';
import { readCaFile } from '../../store/userFile.ts';
import type { EngineConfig, RepositoryConfig } from '../jobFile.ts';
import { readSecret, secretPath } from './secrets.ts';

/**
 * Reads the password and the CA of an engine.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for files that cannot be used
 */
export async function engineSettings(
  { url, username, password, caFile }: EngineConfig,
  timings?: OvirtTimings,
  signal?: AbortSignal,
): Promise<EngineSettings> {
  return {
    url,
    username,
    password: await readSecret(password, process.env, signal),
    caPem: caFile === undefined ? undefined : await readCaFile(caFile, 'the engine', signal),
    timings,
  };
}

/** What a caller adds to the options of a store. */
export type StoreWaits = Pick<StoreOptions, 'signal' | 'onWait'>;

/** Options of the place of a repository. The key file stays a path: sessions read it. */
export function storeOptionsOf(
  { key, cache, immutable, noLock }: RepositoryConfig,
  waits: StoreWaits = {},
  environment: NodeJS.ProcessEnv = process.env,
): StoreOptions {
  return {
    keyFile: key === undefined ? undefined : secretPath(key, environment),
    cache,
    immutable,
    noLock,
    ...waits,
  };
}
