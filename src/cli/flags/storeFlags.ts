/** Options for the place of a repository: its key, its cache, its lock, its immutability. */
import { type Command, Option } from 'commander';
import type { CommandContext } from '../context.ts';
import { durationFromNow, parseSpan } from '../../core/calendarSpan.ts';
import { UsageError } from '../../core/errors.ts';
import type { Immutability, StoreOptions } from '../../store/store.ts';

export interface StoreFlags {
  readonly keyFile?: string;
  readonly cache?: string;
  /** False with `--no-lock`. */
  readonly lock?: boolean;
  readonly immutable?: string;
  readonly immutableMode?: Immutability['mode'];
}

/** Adds the options of a command that only reads containers. */
export function withStoreFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--key-file <file>', 'key file or recovery key of a sealed repository').env(
        'OVIRT_CBT_KEY_FILE',
      ),
    )
    .addOption(
      new Option('--cache <dir>', 'with s3://: folder for copies of metadata').env(
        'OVIRT_CBT_CACHE',
      ),
    );
}

/** Adds the options of a command that takes the lock of a VM. */
export function withLockFlags(command: Command): Command {
  return withStoreFlags(command).option(
    '--no-lock',
    'with s3://: work on a server without conditional writes; never start two sessions at once',
  );
}

/** Adds the options of a command that writes containers. */
export function withWriteFlags(command: Command): Command {
  return withLockFlags(command)
    .option('--immutable <span>', 'with s3://: lock new points for so long, e.g. 30d')
    .addOption(
      new Option('--immutable-mode <mode>', 'compliance: nobody can end the lock')
        .choices(['compliance', 'governance'])
        .default('compliance'),
    );
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` for an empty name or a bad span */
export function storeOf(flags: StoreFlags, context?: CommandContext): StoreOptions {
  const { keyFile, cache, lock, immutable, immutableMode = 'compliance' } = flags;
  for (const [option, value] of Object.entries({ '--key-file': keyFile, '--cache': cache })) {
    if (value !== '') continue;
    throw new UsageError('USAGE_INVALID_OPTION', `${option} is empty`, { hint: 'name a file' });
  }
  return {
    keyFile,
    cache,
    noLock: lock === false,
    signal: context?.signal,
    onWait: context?.onStatus,
    immutable:
      immutable === undefined
        ? undefined
        : { periodMs: durationFromNow(parseSpan(immutable, '--immutable')), mode: immutableMode },
  };
}
