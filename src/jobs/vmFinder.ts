/** Finds VMs again between plans, runs and states. */

export interface NamedVm {
  readonly vmName: string;
  /** Empty where it is unknown. */
  readonly vmId: string;
}

/**
 * Finds the entry of a list that is the same VM. A VM that was renamed is the same one. Where an id
 * is unknown, the name decides.
 */
export function vmFinder<Entry extends NamedVm>(
  list: readonly Entry[],
): (vm: NamedVm) => Entry | undefined {
  const byId = new Map<string, Entry>();
  const byName = new Map<string, Entry>();
  const byNameAlone = new Map<string, Entry>();
  for (const entry of list.toReversed()) {
    byName.set(entry.vmName, entry);
    if (entry.vmId === '') byNameAlone.set(entry.vmName, entry);
    else byId.set(entry.vmId, entry);
  }
  return ({ vmId, vmName }) =>
    vmId === '' ? byName.get(vmName) : (byId.get(vmId) ?? byNameAlone.get(vmName));
}
