/** Virtual machines as the API shows them. Source: oVirt contract (fields and links of VMs). */
import type { Engine } from '../../state/core.ts';
import { ovfOf } from './ovf.ts';
import type { VmRow } from '../../state/rows.ts';
import { entity, reference, type WireRecord, WireList } from '../http/wire.ts';

export const BLANK_TEMPLATE_ID = '00000000-0000-0000-0000-000000000000';

const VM_LINKS = [
  'diskattachments',
  'snapshots',
  'checkpoints',
  'backups',
  'nics',
  'permissions',
  'tags',
];
const VM_ACTIONS = ['start', 'stop', 'shutdown', 'migrate', 'suspend', 'export'];

/** @param withOvf - also shows the configuration as OVF */
export function vmView(engine: Engine, vm: VmRow, withOvf: boolean): WireRecord {
  const [major, minor] = vm.customCompatibility ?? [];
  const isRunning = vm.status !== 'down' && vm.status !== 'suspended';
  const showsHost = isRunning && !engine.behaviour.hidesHosts;
  return entity({
    id: vm.id,
    path: `vms/${vm.id}`,
    fields: {
      name: vm.name,
      description: vm.description,
      status: vm.status,
      memory: vm.memoryBytes,
      cpu: { topology: { sockets: vm.sockets, cores: vm.cores, threads: 1 } },
      os: { type: vm.osType, boot: { devices: new WireList('device', ['hd']) } },
      bios: { type: vm.biosType },
      type: 'server',
      origin: vm.origin,
      delete_protected: false,
      next_run_configuration_exists: false,
      run_once: false,
      stateless: false,
      fqdn: isRunning ? `${vm.name}.example` : undefined,
      creation_time: vm.createdAt,
      custom_compatibility_version: major === undefined ? undefined : { major, minor },
      cluster: reference(vm.clusterId, 'clusters'),
      template: reference(BLANK_TEMPLATE_ID, 'templates'),
      original_template: reference(BLANK_TEMPLATE_ID, 'templates'),
      host: showsHost ? reference(engine.hostOf(vm)?.id, 'hosts') : undefined,
      initialization: withOvf
        ? { configuration: { type: 'ovf', data: ovfOf(engine, vm) } }
        : undefined,
    },
    links: VM_LINKS,
    actions: VM_ACTIONS,
  });
}
