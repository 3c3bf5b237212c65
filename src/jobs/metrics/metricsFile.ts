/** The file of metrics that the textfile collector of node_exporter reads. */
import { randomUUID } from 'node:crypto';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, OutputError, toOutputError } from '../../core/errors.ts';
import { removeQuietly } from '../../store/folder/durableFile.ts';

/** The collector belongs to another user. */
const MODE = 0o644;
/** Not `.prom`, so the collector does not read it. */
const PARTIAL_SUFFIX = '.partial';
/** A write takes far less than this, so nobody writes an older file any more. */
const STALE_MS = 60 * 60_000;

async function writeNew(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', MODE);
  try {
    // The umask of a service may forbid others to read.
    await handle.chmod(MODE);
    await handle.writeFile(text, 'utf8');
  } finally {
    await handle.close();
  }
}

/** Deletes files of writers that were killed. */
async function removeStale(target: string): Promise<void> {
  const folder = path.dirname(target);
  const names = (await readdir(folder)).filter(
    (name) => name.startsWith(`${path.basename(target)}.`) && name.endsWith(PARTIAL_SUFFIX),
  );
  for (const name of names) {
    const file = path.join(folder, name);
    const { mtimeMs } = await stat(file);
    if (Date.now() - mtimeMs > STALE_MS) await rm(file, { force: true });
  }
}

function failure(target: string, error: unknown): OutputError {
  if (errnoOf(error) !== 'ENOENT') return toOutputError(target, error);
  const folder = path.dirname(target);
  return new OutputError('OUTPUT_IO', `write ${target}: the folder ${folder} does not exist`, {
    cause: error,
    hint: 'make the folder that the textfile collector of node_exporter reads, or correct the path in "metrics"',
  });
}

/**
 * Replaces the file of metrics. A reader sees the old or the new text, never a part. The mode is
 * 0644. The folder must exist.
 *
 * @throws {@link OutputError} `OUTPUT_IO`, `OUTPUT_FULL`
 */
export async function writeMetricsFile(target: string, text: string): Promise<void> {
  // Several jobs may end at the same time, so each writer has a name of its own.
  const partial = `${target}.${randomUUID()}${PARTIAL_SUFFIX}`;
  try {
    await writeNew(partial, text);
    await rename(partial, target);
  } catch (error) {
    await removeQuietly(partial);
    throw failure(target, error);
  }
  await removeStale(target).catch(() => {});
}
