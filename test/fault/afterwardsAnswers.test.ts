/** Rows 71 to 73 of the fault table: unusual answers, a failing `follow`, refused events. */
import { describe, expect, it } from 'vitest';
import { decode, wire } from '../../src/ovirt/engine/decoders.ts';
import { expectCodeSync, messageCodes } from '../helpers/codes.ts';
import {
  addVm,
  countRequests,
  expectFrozenView,
  makeScene,
  TRANSFER_POLLS,
} from '../helpers/faults/sessionFaults.ts';
import { useLab } from '../helpers/lab/useLab.ts';

const DISK = {
  id: 'd1',
  name: 'web1_Disk1',
  format: 'cow',
  provisioned_size: '107374182400',
  sparse: 'true',
  shareable: 'FALSE',
};

describe('row 71: an answer', () => {
  it.each([
    ['as {}', {}, 0],
    ['as an empty list', { disk: [] }, 0],
    ['as one object', { disk: DISK }, 1],
    ['as a list', { disk: [DISK, DISK] }, 2],
  ])('that holds a collection %s is a list', (_title, data, count) => {
    expect(decode(wire.disks, data, 'test')).toHaveLength(count);
  });

  it('may give numbers and booleans as text or as they are', () => {
    const native = { ...DISK, provisioned_size: 107_374_182_400, sparse: true, shareable: false };

    const [text, plain] = [DISK, native].map((data) => decode(wire.disk, data, 'test'));

    expect(text).toEqual(plain);
    expect(text).toMatchObject({ virtualSizeBytes: 107_374_182_400, sparse: true });
  });

  it('may hold fields and words that are not known', () => {
    const data = { ...DISK, status: 'dreaming', storage_type: 'crystal', colour: { r: 1 } };

    expect(decode(wire.disk, data, 'test')).toMatchObject({
      status: 'dreaming',
      storageType: 'crystal',
    });
  });

  it.each([
    ['a number that is none', { ...DISK, provisioned_size: 'many' }],
    ['a negative size', { ...DISK, provisioned_size: '-1' }],
    ['a size beyond all numbers', { ...DISK, provisioned_size: 1e300 }],
    ['an id that would leave its path', { ...DISK, id: '../vms' }],
    ['no id', { name: 'x' }],
    ['a list instead of an entity', [DISK]],
    ['null', null],
  ])('with %s is refused', (_title, data) => {
    expectCodeSync(() => decode(wire.disk, data, 'test'), 'ENGINE_BAD_ANSWER');
  });
});

describe('row 71: a phase', () => {
  const bench = useLab();

  it('that is not known is waited through', async () => {
    const vm = addVm(bench.lab);
    const backup = bench.lab.faults.add(
      { server: 'engine', method: 'GET', path: /\/backups\/[^/]+$/, phase: 'ready', nth: 1 },
      { status: 200, body: { id: 'b', phase: 'creating_scratch_disks' } },
    );
    const transfer = bench.lab.faults.add(
      { ...TRANSFER_POLLS, phase: 'transferring', nth: 1 },
      { status: 200, body: { id: 't', phase: 'warming_up' } },
    );

    const report = await bench.backup(vm);

    expect([backup, transfer].map((fault) => bench.lab.faults.fired(fault))).toEqual([1, 1]);
    await expectFrozenView(bench, vm, report);
  });
});

describe('row 72: an engine that cannot follow links', () => {
  const bench = useLab();

  it('is asked again without', async () => {
    bench.lab.behaviour.followFails = true;

    const { vm } = await makeScene(bench);
    const report = await bench.backup(vm);

    const refused = bench.lab.requests.filter(({ path }) => path.includes('follow='));
    expect(refused.map(({ status }) => status)).toEqual(refused.map(() => 500));
    expect(report.disks[0]).toMatchObject({ mode: 'incremental' });
    await expectFrozenView(bench, vm, report);
  });
});

describe('row 73: an event of a session', () => {
  const bench = useLab();
  const EVENTS = { server: 'engine', method: 'POST', path: /\/events$/ } as const;

  it('that is refused changes nothing', async () => {
    const vm = addVm(bench.lab);
    const detail = '[An event with this origin and custom ID exists already.]';
    bench.lab.faults.add(EVENTS, { status: 400, body: { detail } });

    const report = await bench.backup(vm);

    expect(messageCodes(bench)).toEqual([]);
    expect(countRequests(bench.lab, EVENTS)).toBe(1);
    await expectFrozenView(bench, vm, report);
  });

  it('has an id of its own in each session', async () => {
    const { vm } = await makeScene(bench);

    await bench.backup(vm);

    const own = bench.lab.events().filter(({ origin }) => origin === 'ovirt-cbt');
    expect(own).toHaveLength(2);
  });
});
