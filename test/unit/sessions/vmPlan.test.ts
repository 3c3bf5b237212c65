/** Planning of a VM session: the table of modes, row by row. */
import { describe, expect, test } from 'vitest';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import {
  type Base,
  canTrack,
  type EngineDisk,
  planVm,
  type VmPlan,
  withoutCheckpoint,
} from '../../../src/sessions/backup/vm/vmPlan.ts';
import { diskPoint, restorePoint } from '../../helpers/repository/madeUp.ts';
import { messageCodes } from '../../helpers/codes.ts';

const SIZE_BYTES = 1000;

function engineDisk(facts: Partial<EngineDisk> = {}): EngineDisk {
  return {
    diskId: 'd1',
    alias: 'sys',
    sizeBytes: SIZE_BYTES,
    obstacle: undefined,
    isExcluded: false,
    format: 'cow',
    hasRawLayer: false,
    isTracked: true,
    isOldQcow: false,
    allocatedBytes: SIZE_BYTES,
    hardware: { format: 'cow', interface: 'virtio_scsi', bootable: true },
    ...facts,
  };
}

const tracked = engineDisk({ diskId: 'd2', alias: 'data' });
const parent = restorePoint({
  checkpointId: 'c1',
  disks: ['d1', 'd2'].map((diskId) => diskPoint({ diskId, sizeBytes: SIZE_BYTES })),
});

function baseOf(facts: Partial<Base> = {}): Base {
  return { checkpointId: 'c1', state: 'usable', diskIds: new Set(['d1', 'd2']), ...facts };
}

function plan(
  disks: readonly EngineDisk[],
  base: Base = baseOf(),
  on: RestorePoint | undefined = parent,
): VmPlan {
  return planVm(disks, 'web01', on, { base, fullReason: 'full requested' });
}

function modes({ planned }: VmPlan): string[] {
  return planned.map(({ mode }) => mode);
}

describe('a session without a parent', () => {
  const first = planVm(
    [engineDisk(), engineDisk({ diskId: 'd3', format: 'raw' })],
    'web01',
    undefined,
    {
      base: baseOf({ checkpointId: '', state: 'none', diskIds: new Set() }),
      fullReason: 'first restore point',
    },
  );

  test('stores every disk whole, RAW ones too', () => {
    expect(first.planned).toMatchObject([
      { mode: 'full', content: 'full', reason: 'first restore point', parentDisk: undefined },
      { mode: 'full', content: 'full', reason: 'first restore point', parentDisk: undefined },
    ]);
    expect(messageCodes(first)).toEqual([]);
  });

  test('sends no checkpoint, not even one that is usable', () => {
    const full = planVm([engineDisk()], 'web01', undefined, {
      base: baseOf(),
      fullReason: 'full requested',
    });

    expect([first.fromCheckpointId, full.fromCheckpointId]).toEqual([undefined, undefined]);
  });
});

describe('a disk in our checkpoint, of the same size', () => {
  test('is read incrementally from the checkpoint of the parent', () => {
    const made = plan([engineDisk()]);

    expect(made.planned).toMatchObject([
      { mode: 'incremental', content: 'increment', parentDisk: { diskId: 'd1' } },
    ]);
    expect(made.fromCheckpointId).toBe('c1');
  });

  test('gets no message but for the other disk that is gone', () => {
    expect(messageCodes(plan([engineDisk(), tracked]))).toEqual([]);
  });
});

/** Causes that make one disk fall back to a compare, each with its message. */
const DEMOTIONS: readonly (readonly [string, Partial<EngineDisk>, string | undefined])[] = [
  ['is RAW', { format: 'raw', isTracked: false }, 'CBT-101'],
  ['has a RAW layer below a snapshot', { hasRawLayer: true }, 'CBT-101'],
  ['is of a format that nobody knows', { format: 'qed' }, 'CBT-101'],
  ['has its change tracking off', { isTracked: false }, 'CBT-102'],
  ['has grown', { sizeBytes: 2 * SIZE_BYTES }, 'DSK-110'],
  ['has shrunk', { sizeBytes: SIZE_BYTES / 2 }, 'DSK-110'],
  ['is of an old qcow2', { isOldQcow: true }, 'CBT-109'],
];

describe('one disk is compared', () => {
  test.each(DEMOTIONS)('when it %s, and the others stay incremental', (_what, facts, code) => {
    const made = plan([engineDisk(facts), tracked]);

    expect(modes(made)).toEqual(['compare', 'incremental']);
    expect(made.planned[0]).toMatchObject({ content: 'increment', parentDisk: { diskId: 'd1' } });
    expect(made.planned[0]?.reason).not.toBe(made.planned[1]?.reason);
    expect(made.fromCheckpointId).toBe('c1');
    expect(messageCodes(made)).toEqual([code]);
  });

  test.each([{ format: 'raw' }, { isTracked: false }])('with %j, and its VM is named', (facts) => {
    const { messages } = plan([engineDisk(facts), tracked]);

    expect(messages[0]?.text).toMatch(/\(d1\) of web01\b/);
  });

  test('when it is not in the checkpoint, and the others stay incremental', () => {
    const made = plan([engineDisk(), tracked], baseOf({ diskIds: new Set(['d2']) }));

    expect(modes(made)).toEqual(['compare', 'incremental']);
    expect(messageCodes(made)).toEqual(['CBT-109']);
  });

  test.each(DEMOTIONS)('and no checkpoint is sent when the only disk %s', (_what, facts) => {
    const made = plan([engineDisk(facts)]);

    expect(modes(made)).toEqual(['compare']);
    expect(made.fromCheckpointId).toBeUndefined();
  });

  test('and keeps the reason that lies in itself when the checkpoint is lost too', () => {
    const made = plan([engineDisk({ format: 'raw' })], baseOf({ state: 'unknown' }));

    expect(messageCodes(made)).toContain('CBT-101');
  });
});

describe('all disks are compared, without a checkpoint,', () => {
  test.each([
    ['unknown to the engine', 'unknown', ['CBT-103']],
    ['invalid', 'invalid', ['CBT-104']],
    ['that the parent never had', 'none', []],
  ] as const)('for a checkpoint %s', (_what, state, expected) => {
    const made = plan([engineDisk(), tracked], baseOf({ state, diskIds: new Set() }));

    expect(modes(made)).toEqual(['compare', 'compare']);
    expect(made.fromCheckpointId).toBeUndefined();
    expect(messageCodes(made)).toEqual(expected);
  });

  test('even when a map of the lost checkpoint is claimed to exist', () => {
    for (const state of ['unknown', 'invalid', 'none'] as const) {
      expect(modes(plan([engineDisk()], baseOf({ state })))).toEqual(['compare']);
    }
  });

  test('for a broken change map, each with a reason of its own', () => {
    const made = plan([engineDisk(), tracked, engineDisk({ diskId: 'd3', alias: 'new' })]);

    const again = withoutCheckpoint(made, 'change map broken');

    expect(again.fromCheckpointId).toBeUndefined();
    expect(again.planned.map(({ mode, reason }) => [mode, reason])).toEqual([
      ['compare', 'change map broken'],
      ['compare', 'change map broken'],
      ['full', made.planned[2]?.reason],
    ]);
    expect(again.planned[0]?.parentDisk).toBe(made.planned[0]?.parentDisk);
  });
});

describe('a disk that is new since the parent', () => {
  test('is stored whole inside the increment', () => {
    const made = plan([engineDisk(), tracked, engineDisk({ diskId: 'd3', alias: 'new' })]);

    expect(made.planned[2]).toMatchObject({ mode: 'full', content: 'full', parentDisk: undefined });
    expect(messageCodes(made)).toEqual(['CBT-106']);
    expect(made.fromCheckpointId).toBe('c1');
  });

  test('is stored whole even when the engine has a change map of it', () => {
    const made = plan([engineDisk({ diskId: 'd3' })], baseOf({ diskIds: new Set(['d3']) }));

    expect(modes(made)).toEqual(['full']);
    expect(made.fromCheckpointId).toBeUndefined();
  });
});

describe('a disk of the parent that the VM no longer has', () => {
  test('is named', () => {
    const made = plan([engineDisk()]);

    expect(messageCodes(made)).toEqual(['DSK-111']);
    expect(made.messages[0]?.text).toContain('d2');
    expect(made.messages[0]?.resolution).toMatch(/Otherwise attach it to the VM again\. Older/);
  });
});

describe('a disk that cannot be read', () => {
  test('is left out by name', () => {
    const lun = engineDisk({ diskId: 'd9', alias: 'array', obstacle: 'a direct LUN' });

    const made = plan([engineDisk(), tracked, lun]);

    expect(made.leftOut).toEqual([{ diskId: 'd9', alias: 'array', cause: 'a direct LUN' }]);
    expect(made.planned).toHaveLength(2);
    expect(messageCodes(made)).toEqual(['JOB-601']);
    expect(made.messages[0]?.text).toMatch(/array.*d9.*web01/);
  });

  test('is left out in silence when it is excluded', () => {
    const lun = engineDisk({ diskId: 'd9', obstacle: 'a direct LUN', isExcluded: true });

    const made = plan([engineDisk(), tracked, lun]);

    expect(made.leftOut).toMatchObject([{ diskId: 'd9', cause: 'excluded' }]);
    expect(messageCodes(made)).toEqual([]);
  });
});

describe('canTrack', () => {
  test.each([
    ['a tracked qcow2 of version 3', {}, true],
    ['a RAW disk', { format: 'raw' }, false],
    ['a disk with a RAW layer', { hasRawLayer: true }, false],
    ['a disk whose tracking is off', { isTracked: false }, false],
    ['a qcow2 of version 2', { isOldQcow: true }, false],
  ])('of %s', (_what, facts, expected) => {
    expect(canTrack(engineDisk(facts))).toBe(expected);
  });
});
