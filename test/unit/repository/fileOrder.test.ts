/** The order of files by the ids in them, and which items are disks. */
import { describe, expect, it } from 'vitest';
import type { ContainerItem } from '../../../src/container/format/items.ts';
import { imageKindOf, isDiskItem, wrapsDisk } from '../../../src/repository/files/diskItems.ts';
import {
  checkFirst,
  checkOrder,
  type LinkKind,
  type OrderedFile,
} from '../../../src/repository/files/fileOrder.ts';
import { readForeignSummary } from '../../../src/repository/files/foreignSummary.ts';
import { id } from '../../helpers/bytes/foreignChains.ts';
import { foreignSummary } from '../../helpers/bytes/foreignWriter.ts';
import { expectCodeSync } from '../../helpers/codes.ts';

const KIND: LinkKind = 'storage';

/** A file `a1` has the id `a` and builds on `1`. */
function files(...names: readonly string[]): OrderedFile[] {
  return names.map((name) => {
    const [own = '', parentId = ''] = name;
    const parentName = parentId && `${parentId}.vbk`;
    const links = { [KIND]: { id: own, parentId } };
    return { name, path: `away/${name}`, links, parentName, needsParent: parentId !== '' };
  });
}

describe('the order of files', () => {
  it('is proven by ids', () => {
    expect(checkOrder(files('a', 'ba', 'cb'), [KIND])).toEqual([false, true, true]);
  });

  it.each([
    ['increments that were swapped', ['a', 'cb', 'ba']],
    ['a full that is not first', ['ba', 'a', 'cb']],
    ['all the wrong way', ['cb', 'ba', 'a']],
  ])('of %s names the right one', (_name, names) => {
    const given = files(...names);

    const error = expectCodeSync(() => {
      checkFirst(given);
      checkOrder(given, [KIND]);
    }, 'USAGE_FILE_ORDER');

    expect(error.hint).toBe('give the files in this order: away/a away/ba away/cb');
  });

  it.each([
    ['the full', ['ba', 'cb'], 'a.vbk'],
    ['an increment', ['a', 'cb'], 'b.vbk'],
  ])('without %s tells what is missing', (_name, names, missing) => {
    const given = files(...names);

    const error = expectCodeSync(() => {
      checkFirst(given);
      checkOrder(given, [KIND]);
    }, 'CHAIN_PARENT_MISSING');

    expect(error.hint).toContain(`that one was called ${missing}`);
  });

  it('with a file twice is refused', () => {
    const error = expectCodeSync(
      () => checkOrder(files('a', 'ba', 'ba'), [KIND]),
      'USAGE_FILE_ORDER',
    );

    expect(error.message).toContain('are the same storage');
  });

  it('with a second full is refused', () => {
    const error = expectCodeSync(() => checkOrder(files('a', 'b'), [KIND]), 'USAGE_FILE_ORDER');

    expect(error.message).toContain('b is a full of its own');
  });

  it('with two increments on one full is refused', () => {
    expectCodeSync(() => checkOrder(files('a', 'ba', 'ca'), [KIND]), 'USAGE_FILE_ORDER');
  });

  it('is taken as given when nothing tells', () => {
    const given = files('x', 'yx').map((file) => ({ ...file, links: {} }));

    expect(checkOrder(given, [KIND])).toEqual([false, false]);
  });

  it('is accepted for a machine that starts again in a file that continues the others', () => {
    expect(checkOrder(files('a', 'b'), [KIND], (at) => at === 1)).toEqual([false, true]);
  });

  it('does not loop on ids that name each other', () => {
    expectCodeSync(() => checkFirst(files('ab', 'ba')), 'USAGE_FILE_ORDER');
  });
});

function item(name: string, kind: ContainerItem['kind'] = 'file', mask = false): ContainerItem {
  const properties = mask
    ? [{ name: 'DefinedBlocksMask', type: 'Binary', value: Buffer.alloc(1) } as const]
    : undefined;
  return { path: `folder/${name}`, kind, properties, record: {} as ContainerItem['record'] };
}

describe('items', () => {
  it.each([
    ['8b14f74c-360d-4d7a-98f7-7f4c5e737eb7'],
    ['DEV__dev_nvme1n1'],
    ['win-flat.vmdk'],
    ['disk.vhdx'],
    ['0A1B2C3D'],
  ])('named %s are disks', (name) => {
    expect(isDiskItem(item(name), new Set(['summary.xml']))).toBe(true);
  });

  it.each([
    ['summary.xml'],
    ['GuestMembers.xml'],
    ['BackupComponents.xml'],
    ['digest_47d9f323-442b-433d-bd4f-1ecb3fa97351'],
    ['vm.vmx'],
    ['vm.nvram'],
    ['vm.vmdk'],
  ])('named %s are none', (name) => {
    expect(isDiskItem(item(name), undefined)).toBe(false);
    expect(isDiskItem(item(name), new Set([name]))).toBe(false);
  });

  it('of other names are disks when they are listed, have a mask, or are increments', () => {
    const listed = new Set(['listed']);

    expect(isDiskItem(item('listed'), listed)).toBe(true);
    expect(isDiskItem(item('other'), listed)).toBe(false);
    expect(isDiskItem(item('other', 'file', true), listed)).toBe(true);
    expect(isDiskItem(item('other', 'increment'), listed)).toBe(true);
    expect(isDiskItem(item('other'), undefined)).toBe(true);
    expect(isDiskItem(item('folder', 'folder'), undefined)).toBe(false);
  });

  it('may be image files', () => {
    const names = ['a.vhdx', 'a-flat.vmdk', 'a.VHD', 'DEV__sda'];

    expect(names.map((name) => imageKindOf(name))).toEqual(['vhdx', 'vmdk', 'vhd', undefined]);
    expect(names.map((name) => wrapsDisk(name))).toEqual([true, false, true, false]);
  });
});

describe('a summary of others', () => {
  it('gives ids in one form, and none for zeros', () => {
    const folder = 'host (machine)';
    const machine = { folder, name: 'web', id: id(3).toUpperCase(), objectId: id(4) };
    const xml = foreignSummary({ storage: { id: id(1) }, machines: [machine], files: ['x'] });

    const summary = readForeignSummary(xml);

    expect(summary?.storage).toEqual({ id: id(1), parentId: '' });
    expect(summary?.vms).toEqual([
      {
        folder,
        name: 'web',
        objectId: id(4),
        link: { id: id(3), parentId: '' },
        createdAt: '2024-02-27T11:40:47.000Z',
      },
    ]);
    expect([...(summary?.fileNames ?? [])]).toEqual(['x']);
  });

  it.each([
    ['no XML', 'text'],
    ['other XML', '<x />'],
    ['an entity bomb', '<!DOCTYPE x [<!ENTITY a "b">]><OibSummary />'],
    ['an open tag', '<OibSummary'],
  ])('that is %s gives nothing', (_name, xml) => {
    expect(readForeignSummary(xml)).toBeUndefined();
  });

  it.each([['<OibSummary />'], ['<OibSummary></OibSummary>'], ['<OibSummary Storage="x" />']])(
    'may tell nothing: %s',
    (xml) => {
      expect(readForeignSummary(xml)).toEqual({
        storage: { id: '', parentId: '' },
        vms: [],
        fileNames: undefined,
      });
    },
  );
});
