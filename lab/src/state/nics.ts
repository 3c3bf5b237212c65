/**
 * MAC addresses of network cards. Source: ovirt-engine ImportVmCommandBase (`shouldReassignMac`):
 * the cards of an import with new ids get addresses of the pool, and so does a card without one.
 */
import { randomUUID } from 'node:crypto';
import type { Engine } from './core.ts';
import { refusal } from './refusals.ts';
import type { NicRow } from './rows.ts';

const POOL_PREFIX = '56:6f:1a:01';

/** True when a card of any VM has the address. */
function isInUse(engine: Engine, mac: string): boolean {
  return [...engine.vms.values()].some(({ nics }) => nics.some((nic) => nic.mac === mac));
}

/** @throws EngineFault 409 for an address in use, unless the pool allows duplicates */
export function checkMac(engine: Engine, mac: string): void {
  if (engine.behaviour.allowsDuplicateMacs || !isInUse(engine, mac)) return;
  throw refusal(409, `Cannot edit Interface. MAC Address ${mac} is already in use by another VM.`);
}

function* poolMacs(engine: Engine): Generator<string, never> {
  for (let number = 0; ; number++) {
    const tail = number.toString(16).padStart(4, '0');
    const mac = `${POOL_PREFIX}:${tail.slice(0, 2)}:${tail.slice(2)}`;
    if (!isInUse(engine, mac)) yield mac;
  }
}

/**
 * Cards of an imported VM.
 *
 * @param isNewEntity - the import makes new ids, so each card gets a new address
 * @throws as {@link checkMac}
 */
export function importNics(
  engine: Engine,
  nics: readonly Omit<NicRow, 'id'>[],
  isNewEntity: boolean,
): NicRow[] {
  const fresh = poolMacs(engine);
  return nics.map((nic) => {
    const getsNew = isNewEntity || nic.mac === '';
    if (!getsNew) checkMac(engine, nic.mac);
    return { ...nic, id: randomUUID(), mac: getsNew ? fresh.next().value : nic.mac };
  });
}
