/** Options that name what is read: a restore point of a repository, or the files of a chain. */
import { type Command, Option } from 'commander';
import { UsageError } from '../../core/errors.ts';
import type { StoreOptions } from '../../store/store.ts';
import { type StoreFlags, storeOf, withStoreFlags } from './storeFlags.ts';

export interface SourceFlags extends StoreFlags {
  readonly repo?: string;
  readonly file?: readonly string[];
  readonly vm?: string;
  readonly point?: string;
}

/** A restore point of a repository. */
export interface RepositorySource {
  readonly repository: string;
  readonly store: StoreOptions;
  readonly files?: undefined;
}

/** Files of a chain, oldest first. */
export interface FilesSource {
  readonly files: readonly string[];
}

const SEE_HELP = 'see "ovirt-cbt --help"';

export function filesOption(): Option {
  return new Option(
    '--file <files...>',
    'containers of one chain, oldest first, of this product or another; the last one is the point',
  );
}

/** Adds `--repo` and `--file`. One of them has to be given. */
export function withSource(command: Command): Command {
  return withStoreFlags(command)
    .addOption(new Option('--repo <dir>', 'repository, or --file').env('OVIRT_REPO'))
    .addOption(filesOption());
}

function missing(what: readonly string[]): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', `missing: ${what.join(', ')}`, { hint: SEE_HELP });
}

/**
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for an option that is of no use with `--file`
 */
export function refuseWithFiles(options: Readonly<Record<string, unknown>>): void {
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined || value === false) continue;
    throw new UsageError('USAGE_INVALID_OPTION', `${option} and --file exclude each other`, {
      hint: `${option} needs a repository`,
    });
  }
}

/**
 * The source that the options name.
 *
 * @param needsVm - whether a repository needs `--vm`.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for both, and for none
 */
export function sourceOf(
  flags: SourceFlags,
  command: Command,
  needsVm: boolean,
): RepositorySource | FilesSource {
  const { file, vm, point } = flags;
  // An empty OVIRT_REPO names nothing.
  const repo = flags.repo === '' ? undefined : flags.repo;
  if (file !== undefined) {
    if (repo !== undefined) throw bothGiven(command);
    refuseWithFiles({ '--point': point });
    return { files: file };
  }
  const isVmMissing = needsVm && vm === undefined;
  if (repo !== undefined && !isVmMissing) return { repository: repo, store: storeOf(flags) };
  throw missing([
    ...(repo === undefined ? ['--repo <dir> (or OVIRT_REPO) or --file <files...>'] : []),
    ...(isVmMissing ? ['--vm <name>'] : []),
  ]);
}

function bothGiven(command: Command): UsageError {
  const isFromEnv = command.getOptionValueSource('repo') === 'env';
  const option = isFromEnv ? 'OVIRT_REPO (as --repo)' : '--repo';
  return new UsageError('USAGE_INVALID_OPTION', `${option} and --file exclude each other`, {
    hint: isFromEnv
      ? 'unset it for this command: env -u OVIRT_REPO ovirt-cbt …'
      : 'name a repository, or the files of a chain',
  });
}
