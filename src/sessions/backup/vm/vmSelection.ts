/** The VMs of a command: by names, patterns, the engine's search, or all. */
import { UsageError } from '../../../core/errors.ts';
import { sessionMessage } from '../../../core/messages.ts';
import { isPattern, patternMatcher } from '../../../core/namePattern.ts';
import type { EngineApi } from '../../../ovirt/engine/engineApi.ts';
import { EngineFaultError } from '../../../ovirt/engine/engineErrors.ts';
import type { Vm } from '../../../ovirt/engine/entities.ts';
import { listVms } from '../../../ovirt/engine/vmList.ts';
import type { SessionLogOptions } from '../../shared/sessionLog.ts';

/** VMs that any of the fields names, without those of `exclude`. */
export interface VmSelection {
  /** Names, ids, or patterns with `*` and `?`. */
  readonly names?: readonly string[] | undefined;
  /** All VMs that the user may see. */
  readonly all?: boolean | undefined;
  /** A query in the engine's own search language, such as `cluster=prod and tag=gold`. */
  readonly search?: string | undefined;
  /** Names, ids or patterns. */
  readonly exclude?: readonly string[] | undefined;
}

/** VMs of the engine that a selection is made from. */
export interface KnownVms {
  readonly all: readonly Vm[];
  /** Answer to the search of the selection. */
  readonly found: readonly Vm[];
}

export interface SelectedVms {
  /** Names, or ids where a name is not unique; sorted by name. */
  readonly vms: readonly string[];
  /** Entries of `exclude` that fit no VM of the engine. */
  readonly unusedExclusions: readonly string[];
}

function fits(entry: string): (vm: Vm) => boolean {
  const matches = patternMatcher(entry);
  return (vm) => vm.id === entry.toLowerCase() || matches(vm.name);
}

function nothingFits(what: string): UsageError {
  return new UsageError('USAGE_NOT_FOUND', `${what} fits no VM of the engine`, {
    hint: 'names are case-sensitive; the user must have rights on the VM; "ovirt-cbt preflight --all --repo DIR" lists the VMs',
  });
}

/** The hosted engine has no backup through its own API, so only its name selects it. */
function mayBeSelected(vm: Vm): boolean {
  return !vm.origin.includes('hosted_engine');
}

function selectedBy(selection: VmSelection, known: KnownVms): Set<Vm> {
  const usable = known.all.filter(mayBeSelected);
  const chosen = new Set<Vm>(selection.all ? usable : []);
  const add = (vms: readonly Vm[], what: string): void => {
    if (vms.length === 0) throw nothingFits(what);
    for (const vm of vms) chosen.add(vm);
  };
  for (const name of selection.names ?? []) {
    if (isPattern(name)) add(usable.filter(fits(name)), `pattern "${name}"`);
    else for (const vm of known.all.filter(fits(name))) chosen.add(vm);
  }
  if (selection.search !== undefined) {
    const ids = new Set(known.found.map((vm) => vm.id));
    add(
      usable.filter((vm) => ids.has(vm.id)),
      `search "${selection.search}"`,
    );
  }
  return chosen;
}

/** How sessions find and show the VMs: by name, or by id where several VMs have the name. */
function sortedLabels(known: KnownVms, vms: readonly Vm[], names: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const { name } of known.all) counts.set(name, (counts.get(name) ?? 0) + 1);
  const byName = vms
    .map(({ id, name }) => ({ key: `${name}\0${id}`, label: counts.get(name) === 1 ? name : id }))
    .concat(names.map((name) => ({ key: name, label: name })))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1));
  return [...new Set(byName.map(({ label }) => label))];
}

/**
 * Applies a selection. A plain name that the engine does not know stays in the result, so that its
 * own session fails and the others are backed up.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND` for a pattern or search that fits no VM, and when
 *   `exclude` leaves none
 */
export function chooseVms(selection: VmSelection, known: KnownVms): SelectedVms {
  const chosen = selectedBy(selection, known);
  const exclude = selection.exclude ?? [];
  const excluders = exclude.map(fits);
  const left = [...chosen].filter((vm) => !excluders.some((isExcluded) => isExcluded(vm)));
  const unknown = (selection.names ?? []).filter(
    (name) => !isPattern(name) && !known.all.some(fits(name)) && !exclude.includes(name),
  );
  const vms = sortedLabels(known, left, unknown);
  if (vms.length === 0) {
    throw new UsageError('USAGE_NOT_FOUND', 'the selection leaves no VM', {
      hint: 'exclude fewer VMs, or select more',
    });
  }
  const unusedExclusions = exclude.filter((entry) => !known.all.some(fits(entry)));
  return { vms, unusedExclusions };
}

async function searchVms(engine: EngineApi, query: string): Promise<Vm[]> {
  if (/\bpage\s+\d+\s*$/i.test(query)) {
    throw new UsageError('USAGE_INVALID_OPTION', `search "${query}" asks for a single page`, {
      hint: 'leave out "page": all pages are read',
    });
  }
  try {
    return await listVms(engine, query);
  } catch (error) {
    if (!(error instanceof EngineFaultError) || error.status !== 400) throw error;
    throw new UsageError('USAGE_INVALID_OPTION', `the engine refuses a search: ${error.message}`, {
      cause: error,
      hint: `"${query}" is not understood; try it in the search bar of the administration portal, without "Vms:"`,
    });
  }
}

/** True when only the list of the engine's VMs can tell which ones are selected. */
function needsList({ names = [], all, search, exclude = [] }: VmSelection): boolean {
  return all === true || search !== undefined || exclude.length > 0 || names.some(isPattern);
}

/** A selection, with the VMs of the engine that it names. */
export interface IdentifiedVms extends SelectedVms {
  /** By the entries of `vms`; without those that the engine does not know. */
  readonly known: ReadonlyMap<string, Vm>;
  /** VMs of the engine, also those that are not selected. */
  readonly engineVms: number;
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` for a selection of nothing */
function checkSelection({ names = [], all, search }: VmSelection): void {
  if (names.length > 0 || all === true || search !== undefined) return;
  throw new UsageError('USAGE_INVALID_OPTION', 'no VM selected', {
    hint: 'use --vm, --all, --search or --vm-file',
  });
}

async function askVms(engine: EngineApi, { search }: VmSelection): Promise<KnownVms> {
  const found = search === undefined ? [] : await searchVms(engine, search);
  return { all: await listVms(engine), found };
}

/**
 * Asks the engine for its VMs, where the selection needs it, and applies the selection.
 *
 * @throws {@link UsageError} as {@link chooseVms}; `USAGE_INVALID_OPTION` for a search that the
 *   engine refuses, and for a selection of nothing
 */
export async function selectVms(engine: EngineApi, selection: VmSelection): Promise<SelectedVms> {
  checkSelection(selection);
  const { names = [] } = selection;
  if (!needsList(selection)) return { vms: [...new Set(names)], unusedExclusions: [] };
  return chooseVms(selection, await askVms(engine, selection));
}

/** {@link selectVms} with the ids of the VMs, for which it always asks. */
export async function identifyVms(
  engine: EngineApi,
  selection: VmSelection,
): Promise<IdentifiedVms> {
  checkSelection(selection);
  const listed = await askVms(engine, selection);
  const selected = chooseVms(selection, listed);
  const byName = new Map(listed.all.map((vm) => [vm.name, vm]));
  const byId = new Map(listed.all.map((vm) => [vm.id, vm]));
  const known = new Map<string, Vm>();
  for (const label of selected.vms) {
    const vm = byId.get(label) ?? byName.get(label);
    if (vm) known.set(label, vm);
  }
  return { ...selected, known, engineVms: listed.all.length };
}

/** Tells the exclusions that fit no VM. They may be mistyped, or their VM is gone. */
export function noteUnused(
  { unusedExclusions }: SelectedVms,
  { logger, onMessage }: SessionLogOptions,
): void {
  for (const pattern of unusedExclusions) {
    const message = sessionMessage('JOB-610', { pattern });
    logger?.warn({ code: message.code }, message.text);
    onMessage?.(message);
  }
}
