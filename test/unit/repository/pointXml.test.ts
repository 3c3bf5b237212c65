import { describe, expect, test } from 'vitest';
import {
  type ChainMetadata,
  decodeSummary,
  decodeVbm,
  encodeReadableSummary,
  encodeReadableVbm,
  encodeSummary,
  encodeVbm,
} from '../../../src/repository/pointXml.ts';
import { diskPoint, restorePoint } from '../../helpers/repository/madeUp.ts';

const INVALID = { code: 'REPOSITORY_METADATA_INVALID' };
const NAMES = [
  'plain',
  'a "quoted" & \'named\' <vm>',
  '&amp; &lt; &#65; &quot;',
  ']]> <!-- -->',
  'Пример 測試 🖥',
  ' spaces around ',
  '0012',
  '1e5',
  'true',
];

function chain(name = 'vm'): ChainMetadata {
  const full = restorePoint({ disks: [diskPoint({ alias: name, reason: name }), diskPoint()] });
  const increment = restorePoint({
    pointId: 'p2',
    number: 2,
    type: 'increment',
    parentPointId: full.pointId,
    fileName: 'vm 2.vib',
    disks: [diskPoint({ alias: name, content: 'increment', mode: 'compare' })],
  });
  return { vm: { id: 'id-of-vm', name }, points: [full, increment] };
}

describe('chain metadata', () => {
  test.each(NAMES)('survives its XML form with the name %j', (name) => {
    expect(decodeVbm(encodeVbm(chain(name)), 'x')).toEqual(chain(name));
  });

  test('survives its XML form without points, and points without disks', () => {
    const { vm } = chain();
    const bare = { vm, points: [restorePoint({ disks: [] })] };

    expect(decodeVbm(encodeVbm({ vm, points: [] }), 'x')).toEqual({ vm, points: [] });
    expect(decodeVbm(encodeVbm(bare), 'x')).toEqual(bare);
  });

  test('keeps the mark of an image that changed, and reads a .vbm without it', () => {
    const { vm } = chain();
    const disks = [diskPoint({ changedWhileRead: true }), diskPoint({ diskId: 'd2' })];
    const marked = { vm, points: [restorePoint({ disks })] };
    const text = encodeVbm(marked);

    expect(decodeVbm(text, 'x')).toEqual(marked);
    expect(text.match(/ChangedWhileRead/g)).toHaveLength(1);
  });

  test.each(['pointId', 'fileName'] as const)('is refused with one %s twice', (key) => {
    const { vm, points } = chain();
    const [first] = points;
    const twice = points.map((point) => ({ ...point, [key]: first?.[key] }));

    expect(() => decodeVbm(encodeVbm({ vm, points: twice }), 'x')).toThrow(
      expect.objectContaining(INVALID) as Error,
    );
  });

  test('keeps numbers of any size exactly', () => {
    const points = [restorePoint({ disks: [diskPoint({ sizeBytes: Number.MAX_SAFE_INTEGER })] })];
    const metadata = { ...chain(), points };

    expect(decodeVbm(encodeVbm(metadata), 'x')).toEqual(metadata);
  });

  test.each(Array.from({ length: 20 }, (_, k) => k / 20))(
    'is refused when only the first %d of it is there',
    (part) => {
      const text = encodeVbm(chain());

      expect(() => decodeVbm(text.slice(0, Math.floor(text.length * part)), 'x')).toThrow(
        expect.objectContaining(INVALID),
      );
    },
  );

  test.each([
    ['nothing', () => ''],
    ['text', () => 'no XML'],
    ['JSON', () => '{"BackupMeta":{}}'],
    ['another root', (xml: string) => xml.replaceAll('BackupMeta', 'Other')],
    ['the summary root', (xml: string) => xml.replaceAll('BackupMeta', 'OibSummary')],
    ['a document type', (xml: string) => xml.replace('?>', '?><!DOCTYPE BackupMeta>')],
    [
      'entities of its own',
      (xml: string) =>
        xml.replace('?>', '?><!DOCTYPE x [<!ENTITY a "b">]>').replace('"vm"', '"&a;"'),
    ],
    [
      'an instruction without its end',
      (xml: string) => xml.replace(/<\?xml .*\?>/, '<?xml version="1.0" a"?>'),
    ],
    ['no VM', (xml: string) => xml.replace(/<Vm .*<\/Vm>/, '')],
    ['two VMs', (xml: string) => xml.replace(/(<Vm .*<\/Vm>)/, '$1$1')],
    ['a point without its id', (xml: string) => xml.replace(/ PointId="[^"]*"/, '')],
    ['an empty point', (xml: string) => xml.replace('<Vm', '<Point/><Vm')],
    ['an empty disk', (xml: string) => xml.replace('<Disk', '<Disk/><Disk')],
    ['a disk without its size', (xml: string) => xml.replace(/ SizeBytes="\d+"/, '')],
    ['an empty size', (xml: string) => xml.replace(/ SizeBytes="\d+"/, ' SizeBytes=""')],
    ['a size in words', (xml: string) => xml.replace(/ SizeBytes="\d+"/, ' SizeBytes="big"')],
    ['a negative size', (xml: string) => xml.replace(/ SizeBytes="\d+"/, ' SizeBytes="-1"')],
    ['a fraction', (xml: string) => xml.replace(/ SizeBytes="\d+"/, ' SizeBytes="1.5"')],
    ['a size out of range', (xml: string) => xml.replace(/ SizeBytes="\d+"/, ' SizeBytes="1e300"')],
    ['an unknown type', (xml: string) => xml.replace('Type="full"', 'Type="half"')],
    ['an unknown mode', (xml: string) => xml.replace('Mode="full"', 'Mode="magic"')],
    ['a time in words', (xml: string) => xml.replace(/CreatedAt="[^"]*"/, 'CreatedAt="today"')],
    ['a path', (xml: string) => xml.replace('"vm.vbk"', '"../vm.vbk"')],
    ['a file of another kind', (xml: string) => xml.replace('"vm.vbk"', '"passwd"')],
    ['point number 0', (xml: string) => xml.replace('Number="1"', 'Number="0"')],
  ])('is refused with %s in it', (_name, damage) => {
    const text = damage(encodeVbm(chain()));

    expect(() => decodeVbm(text, 'x')).toThrow(expect.objectContaining(INVALID));
  });
});

describe('metadata that could not be read again', () => {
  const vm = { id: 'id-of-vm', name: 'vm' };

  test.each([
    ['a year of five digits', { createdAt: '+010000-01-01T00:00:00.000Z' }],
    ['too many disks', { disks: Array.from({ length: 1001 }, () => diskPoint()) }],
    ['a file without its ending', { fileName: 'vm' }],
    ['a long id', { pointId: 'p'.repeat(101) }],
  ])('is not written: %s', (_what, facts) => {
    const point = restorePoint(facts);

    expect(() => encodeReadableVbm({ vm, points: [point] }, 'x')).toThrow(
      expect.objectContaining(INVALID) as Error,
    );
    expect(() => encodeReadableSummary(vm, point, 'x')).toThrow(
      expect.objectContaining(INVALID) as Error,
    );
  });

  test('is not written: more than a reader takes', () => {
    const disks = Array.from({ length: 1000 }, () => diskPoint({ reason: 'r'.repeat(1000) }));
    const points = Array.from({ length: 16 }, (_, k) =>
      restorePoint({ pointId: `p${k}`, fileName: `${k}.vbk`, disks }),
    );

    expect(() => encodeReadableVbm({ vm, points }, 'x')).toThrow(
      expect.objectContaining(INVALID) as Error,
    );
  });
});

describe('names that an engine may give', () => {
  test.each([
    ['a&b<c>"d"', 'a&b<c>"d"'],
    ['&'.repeat(1024), '&'.repeat(1024)],
    ['x'.repeat(1025), `${'x'.repeat(1023)}…`],
    ['', 'd1'],
  ])('are read back: %j', (alias, read) => {
    const point = restorePoint({ disks: [diskPoint({ alias, reason: alias })] });
    const vm = { id: 'id-of-vm', name: alias };

    const text = encodeReadableVbm({ vm, points: [point] }, 'x');

    expect(decodeVbm(text, 'x').points[0]?.disks[0]?.alias).toBe(read);
    expect(() => encodeReadableSummary(vm, point, 'x')).not.toThrow();
  });
});

describe('the summary of a container', () => {
  test.each(NAMES)('survives its XML form with the name %j', (name) => {
    const { vm, points } = chain(name);
    const [point = restorePoint()] = points;

    expect(decodeSummary(encodeSummary(vm, point), 'x')).toEqual({ vm, point });
  });

  test('is refused without a point and with two', () => {
    const { vm, points } = chain();
    const text = encodeSummary(vm, points[0] ?? restorePoint());
    const [none, two] = [
      text.replace(/<Point[^]*<\/Point>/, ''),
      text.replace(/(<Point[^]*<\/Point>)/, '$1$1'),
    ];

    expect(() => decodeSummary(none, 'x')).toThrow(expect.objectContaining(INVALID));
    expect(() => decodeSummary(two, 'x')).toThrow(expect.objectContaining(INVALID));
  });
});
