/**
 * Transfers of the same disks by other products: never used as ours, never ended with our backup.
 */
import { describe, expect, it } from 'vitest';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import {
  addSmallVm,
  calls,
  gateway,
  PATHS,
  refusal,
  touch,
} from '../helpers/faults/sessionFaults.ts';
import {
  endTransfer,
  downloadSnapshot,
  phaseOf,
  takeSnapshot,
} from '../helpers/lab/engineFlows.ts';
import { expectCode } from '../helpers/codes.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const bench = useLab();

describe('a download of an old snapshot of the same disk by another product', () => {
  it('is not adopted when the answer to our transfer is lost', async () => {
    const { lab } = bench;
    await using other = await EngineClient.login(lab);
    const vm = addSmallVm(lab);
    const volumeId = await takeSnapshot(other, vm, vm.disk('sys'));
    touch(vm, 'the guest, after the snapshot');
    const foreignId = await downloadSnapshot(other, volumeId);
    lab.faults.add({ method: 'POST', path: PATHS.transfers, nth: 1 }, gateway(502));

    await expectCode(bench.backup(vm), 'ENGINE_UNREACHABLE');

    expect(await phaseOf(other, foreignId)).toBe('transferring');
    await endTransfer(other, foreignId);
  });

  it('is not adopted when it comes up in the moment of the lost answer', async () => {
    const { lab } = bench;
    await using other = await EngineClient.login(lab);
    const vm = addSmallVm(lab);
    const volumeId = await takeSnapshot(other, vm, vm.disk('sys'));
    touch(vm, 'the guest, after the snapshot');
    let foreignId = '';
    const fault = lab.faults.add(
      { method: 'POST', path: PATHS.transfers, nth: 1 },
      {
        ...gateway(502),
        run: async () => {
          lab.faults.remove(fault);
          foreignId = await downloadSnapshot(other, volumeId);
        },
      },
    );

    await expectCode(bench.backup(vm), 'ENGINE_UNREACHABLE');

    expect(await phaseOf(other, foreignId)).toBe('transferring');
    await endTransfer(other, foreignId);
  });

  it('is not ended when our backup, which it kept from being read, does not end because of a transfer', async () => {
    const { lab } = bench;
    await using other = await EngineClient.login(lab);
    const vm = addSmallVm(lab);
    const volumeId = await takeSnapshot(other, vm, vm.disk('sys'));
    const foreignId = await downloadSnapshot(other, volumeId);
    const open = refusal(409, 'There is an active image transfer for VM backup');
    lab.faults.add({ method: 'POST', path: PATHS.finalizeBackup, nth: 1, times: 2 }, open);
    const engine = bench.settings({ transferReadyMs: 20 });

    await expectCode(bench.backup(vm, { engine }), 'ENGINE_BUSY');

    expect(await phaseOf(other, foreignId)).toBe('transferring');
    expect(calls(lab, 'POST', PATHS.cancelTransfer)).toEqual([]);
    await endTransfer(other, foreignId);
  });
});
