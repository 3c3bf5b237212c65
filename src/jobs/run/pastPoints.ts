/** A job that has restore points finds the repository that holds them. */
import { RepositoryError } from '../../core/errors.ts';
import type { JobConfig } from '../jobFile.ts';
import type { JobState } from '../jobState.ts';

/** Also of VMs that the job does not select any more, and of a run that is to continue. */
function hasPoints({ vms, lastSuccessAt, openRun }: JobState): boolean {
  if (lastSuccessAt !== undefined || (openRun?.doneVms.length ?? 0) > 0) return true;
  return vms.some((vm) => vm.lastSuccessAt !== undefined);
}

/**
 * Called where the repository of a job does not exist or is empty. A volume that is not mounted
 * looks like that, and a new repository there would hide it.
 *
 * @throws {@link RepositoryError} `REPOSITORY_NOT_FOUND` when earlier runs have made points
 */
export function requireNoPast(
  { name, repository }: Pick<JobConfig, 'name' | 'repository'>,
  previous: JobState,
): void {
  if (!hasPoints(previous)) return;
  const text = `${repository.place}: the repository of earlier runs is gone`;
  throw new RepositoryError('REPOSITORY_NOT_FOUND', text, {
    hint: `mount it; to begin anew there, "ovirt-cbt run ${name} --new-repository"`,
  });
}
