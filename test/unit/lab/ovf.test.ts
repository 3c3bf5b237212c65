/** The configuration of a VM as OVF. The lab reads back what it writes. */
import { expect, test } from 'vitest';
import { ovfOf, parseOvf } from '../../../lab/src/api/views/ovf.ts';
import { MIB } from '../../../src/core/units.ts';
import { EngineBench } from '../../helpers/lab/engineWithoutNetwork.ts';

const NAME = `a < b & "c" > 'd'`;

test('names with signs of XML come back as they were', () => {
  const bench = new EngineBench();
  const disks = [{ name: NAME, sizeBytes: MIB, bootable: true, interface: 'virtio' }];
  const vm = bench.addVm({ name: NAME, nics: [NAME], disks });
  const row = bench.engine.vms.get(vm.id);
  if (!row) throw new Error('no VM');

  const ovf = ovfOf(bench.engine, row);

  expect(ovf).toContain('<Name>a &lt; b &amp; &quot;c&quot; &gt; &apos;d&apos;</Name>');
  expect(parseOvf(ovf)).toMatchObject({
    vmId: vm.id,
    name: NAME,
    memoryBytes: 1024 * MIB,
    sockets: 1,
    cores: 2,
    osType: 'rhel_9x64',
    attachments: [{ diskId: vm.disk(NAME).id, bootable: true, interface: 'virtio' }],
    nics: [{ name: NAME, interface: 'virtio' }],
  });
  bench.close();
});

test('fields that are missing or of another shape are left out', () => {
  const ovf =
    '<Envelope><Section><Disk fileRef="d1/v1"/><Disk/></Section>' +
    '<Content><Name a="1">n</Name><Section/>' +
    '<Section><Item><ResourceType>10</ResourceType><Name>nic1</Name></Item></Section>' +
    '</Content></Envelope>';

  expect(parseOvf(ovf)).toMatchObject({
    vmId: undefined,
    name: undefined,
    memoryBytes: undefined,
    attachments: [{ diskId: 'd1', bootable: false, interface: 'virtio_scsi' }],
    nics: [{ name: 'nic1', interface: 'virtio', mac: '' }],
  });
});

test.each([
  ['text', 'hello'],
  ['another document', '<a/>'],
  [
    'a document type',
    '<!DOCTYPE a [<!ENTITY e "x">]><Envelope><Content><Name>&e;</Name></Content></Envelope>',
  ],
])('%s is no OVF', (_, text) => {
  expect(parseOvf(text)).toBeUndefined();
});
