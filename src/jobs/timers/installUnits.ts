/** Writes systemd units into a folder, and finds those of jobs that are gone. */
import { chmod, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { errnoOf, toOutputError, UsageError } from '../../core/errors.ts';
import { firstWords, MADE_BY, type Unit } from './units.ts';

const OWN_NAME = /^ovirt-cbt(?:-.+)?\.(?:service|timer)$/;

/** Folder where a service manager looks for units of administrators. */
export function unitFolder(
  isOfUser: boolean,
  environment: NodeJS.ProcessEnv = process.env,
): string {
  if (!isOfUser) return '/etc/systemd/system';
  const { XDG_CONFIG_HOME: config } = environment;
  // systemd ignores a relative path too.
  const settings = config && path.isAbsolute(config) ? config : path.join(os.homedir(), '.config');
  return path.join(settings, 'systemd/user');
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw toOutputError(file, error);
  }
}

async function refuseForeign(file: string): Promise<void> {
  const text = await textOf(file);
  if (text === undefined || text.startsWith(MADE_BY)) return;
  throw new UsageError('USAGE_OUTPUT_EXISTS', `${file} was not made by this command`, {
    hint: 'move it away, or name another folder with --directory',
  });
}

async function replaceFile(file: string, text: string): Promise<void> {
  const next = `${file}.new`;
  await writeFile(next, text);
  // Whatever the umask: systemd warns of units that not all may read.
  await chmod(next, 0o644);
  await rename(next, file);
}

/**
 * Writes units. Units that this product made before are replaced. Nothing is written when another
 * file is in the way.
 *
 * @returns their paths.
 * @throws {@link UsageError} `USAGE_OUTPUT_EXISTS`; {@link OutputError} `OUTPUT_IO`, `OUTPUT_FULL`
 */
export async function installUnits(folder: string, units: readonly Unit[]): Promise<string[]> {
  const files = units.map(({ name, text }) => ({ file: path.join(folder, name), text }));
  for (const { file } of files) await refuseForeign(file);
  try {
    await mkdir(folder, { recursive: true });
    for (const { file, text } of files) await replaceFile(file, text);
  } catch (error) {
    throw toOutputError(folder, error);
  }
  return files.map(({ file }) => file);
}

/** Units in a folder that this product made from the same job file, and that it makes no more. */
export async function leftUnits(
  folder: string,
  jobFile: string,
  units: readonly Unit[],
): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  const made = new Set(units.map(({ name }) => name));
  const left: string[] = [];
  for (const name of names.filter((one) => OWN_NAME.test(one) && !made.has(one)).toSorted()) {
    const text = await textOf(path.join(folder, name));
    if (text?.startsWith(firstWords(jobFile))) left.push(name);
  }
  return left;
}
