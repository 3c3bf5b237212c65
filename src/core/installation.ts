/** What lies in the folder of this installation: its version, and the code of its threads. */
import { readFileSync } from 'node:fs';
import { type ResourceLimits, Worker } from 'node:worker_threads';

/** The bundle lies as deep in this folder as this module, so one path fits both. */
export const PACKAGE_FOLDER: URL = new URL('../../', import.meta.url);

let knownVersion: string | undefined;

/** Version of this installation. It is read once: a worker asks for it with each look. */
export function packageVersion(): string {
  if (knownVersion !== undefined) return knownVersion;
  const text = readFileSync(new URL('package.json', PACKAGE_FOLDER), 'utf8');
  knownVersion = (JSON.parse(text) as { version: string }).version;
  return knownVersion;
}

/** A thread has little on its heap. Its blocks lie in the slab. */
const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 } as const;

/**
 * Place of a compiled file.
 *
 * @param moduleUrl - `import.meta.url` of the caller.
 * @param entry - the file, relative to the caller.
 */
export function compiledUrl(moduleUrl: string, entry: string): URL {
  // In tests the caller runs as TypeScript, and only dist has the compiled file.
  const isSource = moduleUrl.endsWith('.ts');
  return new URL(entry, isSource ? moduleUrl.replace(/\/src\/(?!.*\/src\/)/, '/dist/') : moduleUrl);
}

/**
 * Starts a thread. Errors of the system pass unchanged.
 *
 * @param moduleUrl - `import.meta.url` of the caller.
 * @param entry - compiled file of the thread, relative to the caller.
 */
export function startThread(
  moduleUrl: string,
  entry: string,
  workerData: object,
  limits: ResourceLimits = LIMITS,
): Worker {
  const file = compiledUrl(moduleUrl, entry);
  return new Worker(file, { workerData, execArgv: [], resourceLimits: limits });
}
