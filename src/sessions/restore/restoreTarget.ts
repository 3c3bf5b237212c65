/**
 * Finds the storage domain and the cluster of a restore, and checks that the name of the VM is
 * free.
 */
import { UsageError } from '../../core/errors.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { Cluster, StorageDomain } from '../../ovirt/engine/entities.ts';
import { checkVmName } from '../../repository/names.ts';

/** Storage domain of the new disks and cluster of the new VM. */
export interface RestoreTarget {
  readonly domain: StorageDomain;
  readonly cluster: Cluster;
}

/** Names or ids, as the caller gave them. */
export interface WantedTarget {
  readonly storageDomain: string;
  readonly cluster?: string | undefined;
}

/** @throws {@link UsageError} `USAGE_NOT_FOUND` */
function pickNamed<T extends { readonly id: string; readonly name: string }>(
  known: readonly T[],
  wanted: string,
  what: string,
): T {
  const matches = known.filter((one) => one.id === wanted || one.name === wanted);
  const [match] = matches;
  if (match && matches.length === 1) return match;
  throw new UsageError('USAGE_NOT_FOUND', `${what} "${wanted}" is not known to the engine`, {
    hint: `there are: ${known.map((one) => one.name || one.id).join(', ')}`,
  });
}

/**
 * @throws {@link UsageError} `USAGE_NOT_FOUND`; `USAGE_INVALID_OPTION` when a cluster has to be
 *   chosen
 */
export async function findTarget(engine: EngineApi, options: WantedTarget): Promise<RestoreTarget> {
  const domains = (await engine.storageDomains()).filter((domain) => domain.type === 'data');
  const domain = pickNamed(domains, options.storageDomain, 'storage domain');
  const clusters = await engine.clusters();
  const [only] = clusters;
  if (options.cluster !== undefined) {
    return { domain, cluster: pickNamed(clusters, options.cluster, 'cluster') };
  }
  if (only && clusters.length === 1) return { domain, cluster: only };
  throw new UsageError('USAGE_INVALID_OPTION', `the engine has ${clusters.length} clusters`, {
    hint: `choose one with --cluster: ${clusters.map((one) => one.name || one.id).join(', ')}`,
  });
}

/**
 * A character that oVirt refuses in the name of a VM or a disk.
 *
 * @see ovirt-engine ValidationUtils.NO_SPECIAL_CHARACTERS_I18N, used by VmStatic and BaseDisk
 */
const REFUSED_CHARACTER = /[^\p{L}0-9._-]/gu;

/** The text with `_` for each character that oVirt refuses in a name. */
export function toEngineName(text: string): string {
  return text.replaceAll(REFUSED_CHARACTER, '_');
}

/**
 * Checks the name of the new VM before anything is uploaded. The engine would refuse it only after
 * the uploads, when the VM is made.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export function checkNewVmName(name: string): void {
  checkVmName(name);
  const allowed = toEngineName(name);
  if (name === allowed) return;
  throw new UsageError('USAGE_INVALID_OPTION', `the engine refuses the VM name "${name}"`, {
    hint: `only letters, digits, ".", "_" and "-" are allowed, as in ${allowed}`,
  });
}

/** @throws {@link UsageError} `USAGE_OUTPUT_EXISTS` */
export async function checkNameFree(engine: EngineApi, name: string): Promise<void> {
  const [existing] = await engine.findVms(name);
  if (!existing) return;
  throw new UsageError('USAGE_OUTPUT_EXISTS', `a VM "${name}" exists already (${existing.id})`, {
    hint: 'choose another name with --as-vm; existing VMs are never touched',
  });
}
