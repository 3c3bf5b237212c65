/** Decoding is tolerant, but refuses hostile values. */
import { describe, expect, it } from 'vitest';
import { type Decoder, decode, wire } from '../../../src/ovirt/engine/decoders.ts';
import { expectCodeSync } from '../../helpers/errors.ts';

const ID = '7e3c2a10-5a1f-4f8e-9d57-0c1d2e3f4a5b';
const DISK = {
  id: ID,
  name: 'sys',
  format: 'cow',
  backup: 'incremental',
  storage_type: 'image',
  content_type: 'data',
};

function expectRefused<T>(schema: Decoder<T>, data: unknown): void {
  expectCodeSync(() => decode(schema, data, 'GET /x'), 'ENGINE_BAD_ANSWER');
}

describe('numbers and booleans', () => {
  it.each([
    ['text', { provisioned_size: '107374182400', total_size: '65536', sparse: 'true' }],
    ['native values', { provisioned_size: 107_374_182_400, total_size: 65_536, sparse: true }],
  ])('are read from %s', (_kind, fields) => {
    const disk = decode(wire.disk, { ...DISK, ...fields }, 'disk');

    expect(disk.virtualSizeBytes).toBe(107_374_182_400);
    expect(disk.totalSizeBytes).toBe(65_536);
    expect(disk.sparse).toBe(true);
  });

  it.each([
    ['True', true],
    ['FALSE', false],
    [false, false],
  ])('know %s as a boolean', (given, expected) => {
    const { shareable } = decode(wire.disk, { ...DISK, shareable: given }, 'disk');

    expect(shareable).toBe(expected);
  });

  it.each(['-1', -1, '1.5', 1.5, '0x10', '', 'many', null, Number.NaN])(
    'refuse %s as a size',
    (provisioned) => expectRefused(wire.disk, { ...DISK, provisioned_size: provisioned }),
  );

  it.each(['maybe', 1, null])('refuse %s as a boolean', (shareable) =>
    expectRefused(wire.disk, { ...DISK, shareable }),
  );
});

describe('collections', () => {
  it.each([
    ['an empty object', {}],
    ['an empty list', { disk: [] }],
    ['a null', { disk: null }],
  ])('are empty for %s', (_what, body) => {
    const disks = decode(wire.disks, body, 'disks');

    expect(disks).toEqual([]);
  });

  it('hold one item for a single object', () => {
    const disks = decode(wire.disks, { disk: DISK }, 'disks');

    expect(disks.map(({ id }) => id)).toEqual([ID]);
  });

  it('keep the order of a list', () => {
    const ids = ['b', 'a', 'c'];
    const body = { checkpoint: ids.map((id) => ({ id })) };

    const checkpoints = decode(wire.checkpoints, body, 'checkpoints');

    expect(checkpoints.map(({ id }) => id)).toEqual(ids);
  });

  it('inside an entity may be empty, or missing', () => {
    const empty = decode(wire.disk, { ...DISK, storage_domains: {} }, 'disk');
    const missing = decode(wire.disk, DISK, 'disk');

    expect(empty.storageDomainIds).toEqual([]);
    expect(missing.storageDomainIds).toEqual([]);
  });

  it.each([null, 'text', 5, [DISK], { disk: ['text'] }])('refuse %j', (body) =>
    expectRefused(wire.disks, body),
  );
});

describe('dates', () => {
  const expectedMs = Date.UTC(2025, 7, 1, 12);

  it.each([
    ['milliseconds', expectedMs],
    ['milliseconds in text', String(expectedMs)],
    ['ISO text', '2025-08-01T12:00:00.000Z'],
    ['ISO text with an offset', '2025-08-01T14:00:00.000+02:00'],
  ])('are read from %s', (_kind, date) => {
    const body = { checkpoint: [{ id: ID, creation_date: date }] };

    const [checkpoint] = decode(wire.checkpoints, body, 'checkpoints');

    expect(checkpoint?.createdAtMs).toBe(expectedMs);
  });
});

describe('enums', () => {
  it('that are not known stay text: an unknown phase is one that goes on', () => {
    const backup = decode(wire.backup, { id: ID, phase: 'waiting_for_moonlight' }, 'backup');
    const transfer = decode(wire.transfer, { id: ID, phase: 'meditating' }, 'transfer');

    expect(backup.phase).toBe('waiting_for_moonlight');
    expect(transfer.phase).toBe('meditating');
  });
});

describe('missing fields', () => {
  it('leave a backup in an unknown phase, without checkpoint and snapshot', () => {
    const backup = decode(wire.backup, { id: ID }, 'backup');

    expect(backup).toEqual({
      id: ID,
      phase: 'unknown',
      description: '',
      toCheckpointId: undefined,
      snapshotId: undefined,
    });
  });

  it('leave a transfer without URLs', () => {
    const transfer = decode(wire.transfer, { id: ID }, 'transfer');

    expect(transfer).toMatchObject({ phase: 'unknown' });
    expect(transfer.transferUrl).toBeUndefined();
    expect(transfer.proxyUrl).toBeUndefined();
  });

  it('leave a LUN without size, status and format', () => {
    const lun = decode(wire.disk, { id: ID, storage_type: 'lun' }, 'disk');

    expect(lun).toMatchObject({ alias: ID, format: '', backup: 'none', totalSizeBytes: 0 });
    expect(lun.virtualSizeBytes).toBeUndefined();
    expect(lun.status).toBeUndefined();
  });

  it('leave an attachment inactive, with its disk not followed', () => {
    const body = { disk_attachment: { id: ID, disk: { id: ID, href: '/disks' } } };

    const [attachment] = decode(wire.diskAttachments, body, 'attachments');

    expect(attachment).toMatchObject({ active: false, bootable: false, interface: 'virtio_scsi' });
    expect(attachment?.disk).toBeUndefined();
  });

  it('leave a product version without build', () => {
    const body = { product_info: { version: { major: '4', minor: '5' } } };

    const root = decode(wire.apiRoot, body, 'api');

    expect(root).toMatchObject({ version: { major: 4, minor: 5, build: 0 }, fullVersion: '4.5.0' });
  });

  it('that nothing works without are refused', () => {
    expectRefused(wire.backup, { phase: 'ready' });
    expectRefused(wire.vm, { id: ID });
    expectRefused(wire.apiRoot, {});
  });

  it('that nobody knows are ignored', () => {
    const backup = decode(wire.backup, { id: ID, from_the_future: { x: 1 } }, 'backup');

    expect(backup.id).toBe(ID);
  });
});

describe('a fault', () => {
  it.each([
    ['at the root', { reason: 'R', detail: '[D]' }],
    ['inside an action', { status: 'failed', fault: { reason: 'R', detail: '[D]' } }],
  ])('is found %s', (_where, body) => {
    const fault = decode(wire.fault, body, 'fault');

    expect(fault).toEqual({ reason: 'R', detail: '[D]' });
  });
});

const HOSTILE = [
  '../x',
  '..',
  'a/b',
  'a?b=c',
  'a#b',
  '%2e%2e%2fx',
  'a b',
  'a\r\nHost: evil',
  '',
  'x'.repeat(101),
  7,
  null,
];

describe('ids, which come back in paths', () => {
  it.each(HOSTILE)('are refused when they could leave their place: %j', (id) => {
    expectRefused(wire.backup, { id });
    expectRefused(wire.backup, { id: ID, to_checkpoint_id: id });
    expectRefused(wire.backup, { id: ID, snapshot: { id } });
    expectRefused(wire.transfer, { id });
    expectRefused(wire.transfer, { id: ID, image: { id } });
    expectRefused(wire.checkpoints, { checkpoint: [{ id }] });
    expectRefused(wire.disks, { disk: [{ id }] });
    expectRefused(wire.diskAttachments, { disk_attachment: [{ id }] });
    expectRefused(wire.vm, { id, name: 'x' });
    expectRefused(wire.snapshot, { id });
    expectRefused(wire.volumes, { disk_snapshot: [{ id }] });
  });

  it('of a followed disk are refused as well', () => {
    const attachment = { id: ID, disk: { ...DISK, id: '../x' } };

    expectRefused(wire.diskAttachments, { disk_attachment: [attachment] });
  });
});
