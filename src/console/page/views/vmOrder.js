// @ts-check
/** Search, filter and order of the VMs. */
/** @import { VmHealth, VmRow } from '../../contract.ts' */
import { HEALTHS } from '../words.js';

/** @typedef {'name' | 'job' | 'state' | 'age' | 'duration' | 'read' | 'stored' | 'lock'} SortKey */
/** @typedef {{ search: string, health: string, sort: string }} VmQuery */

const NAMES = new Intl.Collator(undefined, { numeric: true });

/** @param {VmRow} vm */
const ageOf = ({ lastSuccessAt }) => (lastSuccessAt ? -Date.parse(lastSuccessAt) : undefined);
/** @param {VmRow} vm */
const lockOf = ({ lockedUntil }) => (lockedUntil ? Date.parse(lockedUntil) : undefined);

/**
 * What is compared; undefined comes last.
 *
 * @type {Readonly<Record<SortKey, (vm: VmRow) => string | number | undefined>>}
 */
const VALUES = {
  name: ({ vmName }) => vmName,
  job: ({ jobName }) => jobName,
  state: ({ health }) => HEALTHS.indexOf(health),
  age: ageOf,
  duration: ({ lastDurationSeconds }) => lastDurationSeconds,
  read: ({ lastReadBytes }) => lastReadBytes,
  stored: ({ lastStoredBytes }) => lastStoredBytes,
  lock: lockOf,
};

/** @param {string} sort - a key, with `-` before it for the other direction */
export function sortOf(sort) {
  const isDescending = sort.startsWith('-');
  const name = isDescending ? sort.slice(1) : sort;
  const key = /** @type {SortKey} */ (Object.hasOwn(VALUES, name) ? name : 'name');
  return { key, isDescending };
}

/**
 * @param {string | number | undefined} a
 * @param {string | number | undefined} b
 * @param {number} sign
 */
function compare(a, b, sign) {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  if (typeof a === 'string') return sign * NAMES.compare(a, String(b));
  return sign * (a - Number(b));
}

/** @param {readonly VmRow[]} vms @param {string} search */
export function found(vms, search) {
  const words = search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  if (words.length === 0) return vms;
  return vms.filter(({ vmName, jobName, vmKey }) => {
    const text = `${vmName}\n${jobName}\n${vmKey}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** @param {readonly VmRow[]} vms @param {string} jobName - empty for all */
export function ofJob(vms, jobName) {
  return jobName === '' ? vms : vms.filter((vm) => vm.jobName === jobName);
}

/**
 * @param {readonly VmRow[]} vms
 * @param {string} health - of {@link VmHealth}, `running`, or empty
 */
export function withHealth(vms, health) {
  if (health === '') return vms;
  if (health === 'running') return vms.filter(({ sessionId }) => sessionId !== undefined);
  return vms.filter((vm) => vm.health === health);
}

/** @param {readonly VmRow[]} vms @param {string} sort */
export function ordered(vms, sort) {
  const { key, isDescending } = sortOf(sort);
  const sign = isDescending ? -1 : 1;
  const value = VALUES[key];
  return [...vms].sort(
    (a, b) => compare(value(a), value(b), sign) || NAMES.compare(a.vmName, b.vmName),
  );
}

/** VMs of each state, and those that are backed up now. @param {readonly VmRow[]} vms */
export function countStates(vms) {
  /** @type {Record<VmHealth | 'running', number>} */
  const counts = { good: 0, warning: 0, late: 0, failed: 0, never: 0, damaged: 0, running: 0 };
  for (const { health, sessionId } of vms) {
    counts[health]++;
    if (sessionId !== undefined) counts.running++;
  }
  return counts;
}
