/** A selection of VMs is a pure function of the engine's lists. */
import { describe, expect, test } from 'vitest';
import type { Vm } from '../../../src/ovirt/engine/entities.ts';
import { chooseVms, type VmSelection } from '../../../src/sessions/backup/vm/vmSelection.ts';

function vm(name: string, id = `id-${name}`, origin = 'ovirt'): Vm {
  const unread = {
    clusterId: undefined,
    hostId: undefined,
    ovf: undefined,
    attachments: undefined,
  };
  return { id, name, origin, description: '', status: 'up', ...unread };
}

const ALL = [
  vm('web02'),
  vm('web01'),
  vm('db01'),
  vm('twin', 'id-2'),
  vm('twin', 'id-1'),
  vm('HostedEngine', 'id-he', 'managed_hosted_engine'),
];

function chosen(selection: VmSelection, found: readonly Vm[] = []): readonly string[] {
  return chooseVms(selection, { all: ALL, found }).vms;
}

describe('chooseVms', () => {
  test('takes all VMs by name, by id where a name is not unique, without the hosted engine', () => {
    expect(chosen({ all: true })).toEqual(['db01', 'id-1', 'id-2', 'web01', 'web02']);
  });

  test('takes patterns, names and ids, each VM once', () => {
    const names = ['web*', 'web01', 'id-db01', 'db01', 'ID-WEB01'];

    expect(chosen({ names })).toEqual(['db01', 'web01', 'web02']);
  });

  test('takes the answer to a search', () => {
    expect(chosen({ search: 'tag=x', names: ['db01'] }, [vm('web02')])).toEqual(['db01', 'web02']);
  });

  test('leaves out names, ids and patterns', () => {
    const exclude = ['web02', 'id-db01', 'tw*'];

    expect(chosen({ all: true, exclude })).toEqual(['web01']);
  });

  test('keeps a plain name that the engine does not know, for a session that fails alone', () => {
    expect(chosen({ names: ['web*', 'gone'] })).toEqual(['gone', 'web01', 'web02']);
  });

  test('takes the hosted engine by its name only', () => {
    expect(chosen({ names: ['HostedEngine', 'db*'] })).toEqual(['HostedEngine', 'db01']);
  });

  test('tells exclusions that fit nothing', () => {
    const exclude = ['web0?', 'wbe01', 'x*'];

    const { unusedExclusions } = chooseVms({ all: true, exclude }, { all: ALL, found: [] });

    expect(unusedExclusions).toEqual(['wbe01', 'x*']);
  });

  test.each([
    ['a pattern', { names: ['db01', 'x*'] }, /pattern "x\*" fits no VM/],
    ['a search', { search: 'tag=x', all: true }, /search "tag=x" fits no VM/],
    ['what is left', { names: ['web*'], exclude: ['*'] }, /leaves no VM/],
  ])('refuses %s that fits nothing', (_what, selection, message) => {
    expect(() => chosen(selection)).toThrow(message);
  });
});
