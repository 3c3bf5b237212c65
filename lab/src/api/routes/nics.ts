/** REST calls on the network cards of a VM: list them, change the MAC address of one. */
import { nicBody } from '../http/bodyTypes.ts';
import type { EngineCall, Route } from '../http/router.ts';
import { entity, reply, replyList, type WireRecord, type WireReply } from '../http/wire.ts';
import { checkMac } from '../../state/nics.ts';
import { unknownResource } from '../../state/refusals.ts';
import type { NicRow, VmRow } from '../../state/rows.ts';

function vmOf(call: EngineCall): VmRow {
  const vm = call.engine.vms.get(call.param('vm'));
  if (!vm) throw unknownResource();
  return vm;
}

function nicView(vm: VmRow, nic: NicRow): WireRecord {
  return entity({
    id: nic.id,
    path: `vms/${vm.id}/nics/${nic.id}`,
    fields: {
      name: nic.name,
      interface: nic.interface,
      linked: true,
      plugged: true,
      mac: { address: nic.mac },
    },
  });
}

function putNic(call: EngineCall): WireReply {
  const vm = vmOf(call);
  const nic = vm.nics.find(({ id }) => id === call.param('nic'));
  if (!nic) throw unknownResource();
  const mac = call.body(nicBody).mac?.address ?? nic.mac;
  if (mac !== nic.mac) checkMac(call.engine, mac);
  nic.mac = mac;
  return reply('nic', nicView(vm, nic));
}

const NICS = 'vms/{vm}/nics';

export const nicRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: NICS,
    run: (call) => {
      const vm = vmOf(call);
      return replyList(
        'nics',
        'nic',
        vm.nics.map((nic) => nicView(vm, nic)),
      );
    },
  },
  { method: 'PUT', path: `${NICS}/{nic}`, run: putNic },
];
