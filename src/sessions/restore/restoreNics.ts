/**
 * MAC addresses of a restored VM.
 *
 * An import with new ids gives every card a new address, whatever the configuration says. So
 * addresses that are kept are set after the import.
 *
 * @see ovirt-engine ImportVmCommandBase, `shouldReassignMac`
 */
import { EngineError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { wire } from '../../ovirt/engine/decoders.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { faultKind } from '../../ovirt/engine/engineErrors.ts';
import type { Nic, Vm } from '../../ovirt/engine/entities.ts';
import { type SavedNic, savedNics, withoutDisks, withoutMacs } from './restoreOvf.ts';

/** `new`: the engine allocates addresses. `keep`: the addresses of the restore point. */
export type MacChoice = 'new' | 'keep';

/** A network card of the restored VM. */
export interface RestoredNic {
  readonly name: string;
  /** Its MAC address now. */
  readonly mac: string;
  /** In the restore point. */
  readonly savedMac: string;
}

/** The configuration of the new VM, and how its MAC addresses are chosen. */
export interface ConfigurationPlan {
  /** Undefined when no configuration was saved. */
  readonly ovf: string | undefined;
  readonly macs: MacChoice;
  readonly nics: readonly SavedNic[];
  /** The VM that was backed up, when this engine still has it. */
  readonly original: Vm | undefined;
}

/**
 * Prepares the saved configuration.
 *
 * @param wanted - undefined: new addresses when the original VM exists on this engine.
 */
export async function planConfiguration(
  engine: EngineApi,
  saved: string | undefined,
  originalId: string,
  wanted: MacChoice | undefined,
): Promise<ConfigurationPlan> {
  const original = await findOriginal(engine, originalId);
  const macs = wanted ?? (original ? 'new' : 'keep');
  const ovf = saved === undefined ? undefined : withoutDisks(saved);
  if (ovf === undefined) return { ovf, macs, nics: [], original };
  return { ovf: macs === 'new' ? withoutMacs(ovf) : ovf, macs, nics: savedNics(ovf), original };
}

/** A user who may not see the VM gets the same answer as for a VM that does not exist. */
async function findOriginal(engine: EngineApi, vmId: string): Promise<Vm | undefined> {
  try {
    return await engine.vm(vmId);
  } catch (error) {
    if (faultKind(error) === 'forbidden') return undefined;
    throw error;
  }
}

async function readNics(engine: EngineApi, vmId: string): Promise<readonly Nic[]> {
  return (await engine.client.find(`/vms/${vmId}/nics`, wire.nics)) ?? [];
}

/** The reason why the engine did not set the address; undefined when it did. */
async function setMac(
  engine: EngineApi,
  vmId: string,
  nic: Nic,
  address: string,
): Promise<string | undefined> {
  try {
    await engine.client.put(`/vms/${vmId}/nics/${nic.id}`, { mac: { address } });
    return undefined;
  } catch (error) {
    // The VM with its disks is worth more than an address.
    if (error instanceof EngineError) return error.message.replace(/^PUT \S+: /, '');
    throw error;
  }
}

/**
 * Gives the cards of a new VM their saved addresses, when these are kept, and tells what they have.
 * An address that the engine refuses is a message and no error.
 */
export async function settleNics(
  engine: EngineApi,
  { macs, nics: saved, original }: ConfigurationPlan,
  newVm: Pick<Vm, 'id'>,
  note: (message: SessionMessage) => void,
): Promise<readonly RestoredNic[]> {
  if (saved.length === 0) return [];
  const reasons = new Map<string, string | undefined>();
  for (const nic of macs === 'keep' ? await readNics(engine, newVm.id) : []) {
    const mac = saved.find(({ name }) => name === nic.name)?.mac ?? nic.mac;
    if (!isSame(mac, nic.mac)) reasons.set(nic.name, await setMac(engine, newVm.id, nic, mac));
  }
  const made = await readNics(engine, newVm.id);
  const nics = saved.map(({ name, mac: savedMac }) => {
    const mac = made.find((nic) => nic.name === name)?.mac ?? '';
    return { name, mac, savedMac };
  });
  for (const message of messagesOf(nics, macs, original, reasons)) note(message);
  return nics;
}

function isSame(mac: string, other: string): boolean {
  return mac.toLowerCase() === other.toLowerCase();
}

function messagesOf(
  nics: readonly RestoredNic[],
  macs: MacChoice,
  original: Vm | undefined,
  reasons: ReadonlyMap<string, string | undefined>,
): SessionMessage[] {
  const kept = nics.filter(({ mac, savedMac }) => isSame(mac, savedMac));
  const lost = macs === 'keep' ? nics.filter((nic) => !kept.includes(nic)) : [];
  const messages = lost.map(({ name, mac, savedMac }) => {
    const reason = reasons.get(name) ?? 'the engine gives no reason';
    return sessionMessage('NIC-703', { name, saved: savedMac, mac: mac || 'none', reason });
  });
  if (!original) return messages;
  const { name: vm, id } = original;
  const list = (some: readonly RestoredNic[]): string =>
    some.map(({ name, mac }) => `${name} ${mac}`).join(', ');
  if (kept.length > 0) messages.push(sessionMessage('NIC-702', { vm, id, macs: list(kept) }));
  else if (macs === 'new') messages.push(sessionMessage('NIC-701', { vm, id, macs: list(nics) }));
  return messages;
}
