/** The option for the job file: `--file`, then OVIRT_CBT_FILE, then the usual places. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { UsageError } from '../../core/errors.ts';

export interface JobFlags {
  readonly file?: string;
}

const FILE_NAME = 'ovirt-cbt.yaml';
const SYSTEM_FILE = `/etc/ovirt-cbt/${FILE_NAME}`;

/** Adds `--file` to a command that works with jobs. */
export function withJobFile(command: Command): Command {
  return command.addOption(
    new Option(
      '--file <file>',
      `job file (default: ${FILE_NAME} in this folder, else ${SYSTEM_FILE})`,
    ).env('OVIRT_CBT_FILE'),
  );
}

/**
 * Path of the job file that a command uses.
 *
 * @param folder - the working folder.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when none is named and none is at the usual
 *   places
 */
export function jobFileOf({ file }: JobFlags, folder: string = process.cwd()): string {
  if (file === '') {
    throw new UsageError('USAGE_INVALID_OPTION', '--file is empty', { hint: 'name a job file' });
  }
  if (file !== undefined) return path.resolve(folder, file);
  const found = [path.join(folder, FILE_NAME), SYSTEM_FILE].find((place) => existsSync(place));
  if (found !== undefined) return found;
  throw new UsageError(
    'USAGE_INVALID_OPTION',
    `there is no job file: neither ${FILE_NAME} in this folder nor ${SYSTEM_FILE}`,
    { hint: 'write one as docs/jobs.md shows, or name it with --file or OVIRT_CBT_FILE' },
  );
}
