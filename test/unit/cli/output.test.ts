import { describe, expect, test } from 'vitest';
import { formatList, formatRescan } from '../../../src/cli/output/listOutput.ts';
import { FULL_FORM } from '../../../src/cli/output/outputForm.ts';
import { formatMessage } from '../../../src/cli/output/formatMessage.ts';
import { formatRestore } from '../../../src/cli/output/restoreOutput.ts';
import { formatSession } from '../../../src/cli/output/sessionOutput.ts';
import { formatTable } from '../../../src/cli/output/table.ts';
import { formatVerify } from '../../../src/cli/output/verifyOutput.ts';
import { sessionMessage } from '../../../src/core/messages.ts';
import {
  diskPoint,
  increment,
  restorePoint,
  sessionReport,
} from '../../helpers/repository/madeUp.ts';

describe('formatTable', () => {
  test('pads columns to their widest cell, numbers to the right', () => {
    const table = formatTable(
      ['name', 'size', 'x'],
      [
        ['a', '5 B', 'y'],
        ['longer', '100 B', ''],
      ],
    );

    expect(table.split('\n')).toEqual(['name    size   x', 'a         5 B  y', 'longer  100 B']);
  });

  test('is its header without rows', () => {
    expect(formatTable(['a', 'b'], [])).toBe('a  b');
  });
});

describe('the session table', () => {
  test('shows mode, figures and reason of each disk, and the file', () => {
    const text = formatSession(sessionReport());

    expect(text).toMatch(/^vm: restore point 2 \(increment\) p2$/m);
    expect(text).toMatch(
      /a\.raw +compare +4\.00 KiB +4\.00 KiB +1\.00 KiB +1\.00 KiB +2\.00 KiB +1\.00 KiB +2\.00x +4\.00 KiB\/s +raw image/,
    );
    expect(text).toMatch(/^file +vm\.vib \(8\.00 KiB\)$/m);
    expect(text).toMatch(/^bottleneck +repository \(write\), busy 50 %$/m);
    expect(text).toMatch(/^messages +none$/m);
  });

  test('names the messages of the session', () => {
    const messages = [sessionMessage('REPO-505', { file: 'x' }), sessionMessage('DSK-112')];

    expect(formatSession(sessionReport({ messages }))).toMatch(
      /^messages +info REPO-505 Removed x, .+\n +warn DSK-112 Image .+$/m,
    );
  });
});

describe('a message', () => {
  test('is one line of level, code, text and what to do', () => {
    expect(formatMessage(sessionMessage('REPO-507', { file: 'f', reason: 'r' }))).toMatch(
      /^warn: REPO-507 File f .*\(r\).* Run "ovirt-cbt inspect".*$/,
    );
  });

  test('has no control characters of a name', () => {
    expect(formatMessage(sessionMessage('REPO-505', { file: 'a\u001B[31mb' }))).toContain(
      'a?[31mb',
    );
  });

  test('gives no advice where there is nothing to do', () => {
    expect(formatMessage(sessionMessage('REPO-505', { file: 'f' }))).not.toContain('None');
  });
});

describe('the other reports', () => {
  test('list shows restore points of a VM, or says that there is none', () => {
    const points = [restorePoint(), increment('p2', 'p1')];
    const vms = [{ vmName: 'web', vmId: 'i1', folder: 'f', points }];

    const text = formatList({ type: 'list', repository: 'r', vms, failures: [] });

    expect(text).toMatch(/web/);
    expect(text).toMatch(/p1/);
    expect(text).toMatch(/p2/);
    expect(formatList({ type: 'list', repository: 'r', vms: [], failures: [] })).toMatch(/no VM/);
  });

  test('list with locks fits into 80 columns', () => {
    const points = [restorePoint({ lockedUntil: '2026-12-24T12:00:00.000Z' })];
    const vms = [{ vmName: 'web', vmId: 'i1', folder: 'f', points }];
    const form = { ...FULL_FORM, columns: 80 };

    const lines = formatList({ type: 'list', repository: 'r', vms, failures: [] }, form).split(
      '\n',
    );

    expect(lines[1]).toMatch(/locked until$/);
    expect(lines[2]).toMatch(/2026-12-24$/);
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
  });

  test('list marks a disk that changed while it was read', () => {
    const points = [restorePoint({ disks: [diskPoint({ changedWhileRead: true })] })];
    const vms = [{ vmName: 'web', vmId: 'i1', folder: 'f', points }];

    const report = { type: 'list', repository: 'r', vms, failures: [] } as const;

    expect(formatList(report)).toMatch(/ full\* .*\n\* a disk changed while read/);
    expect(formatList(report, FULL_FORM, true)).toMatch(/ a\.raw +full .* changed while read/);
  });

  test('verify names what is damaged and which points may need it', () => {
    const file = {
      vmName: 'web',
      fileName: 'f.vbk',
      pointId: 'p1',
      pointNumber: 1,
      checkedBlocks: 3,
      skippedBlocks: 0,
      storedBytesRead: 100,
      plainBytes: 200,
      damageCount: 1,
      verifiedAt: '2026-11-22T17:00:00.000Z',
      isResumed: false,
    };
    const damage = [
      {
        vmName: 'web',
        fileName: 'f.vbk',
        pointId: 'p1',
        code: 'INTEGRITY_CRC_MISMATCH',
        message: 'block 3',
        affectedPointIds: ['p1', 'p2'],
      },
    ];
    const report = {
      type: 'verify',
      repository: 'r',
      durationSeconds: 1,
      outcome: 'damaged',
      files: [file],
      points: [],
      damage,
      damageCount: 1,
      unlistedFiles: [],
      failures: [],
      isRecorded: true,
    } as const;

    expect(formatVerify(report)).toMatch(/^INTEGRITY_CRC_MISMATCH: f.vbk: block 3; .* p1, p2$/m);
    const sound = { files: [{ ...file, damageCount: 0 }], damage: [], damageCount: 0 };
    expect(formatVerify({ ...report, ...sound, outcome: 'ok' })).toMatch(
      /ok\n1 file verified in 1\.0 s: no damage$/,
    );
    const healed = damage.map((found) => ({
      ...found,
      uses: [],
      healedFrom: '55a02a9c-d242-4e55-8d4e-000000000000',
      healedFromNumber: 5,
    }));
    expect(formatVerify({ ...report, damage: healed })).toMatch(
      /^ {2}from restore point 5 \(55a02a9c\) on, these places hold other data and do not need the block$/m,
    );
  });

  test('verify shows the part of the blocks that a sample really read', () => {
    const sampled = {
      vmName: 'web',
      fileName: 'web.vbk',
      pointId: 'p1',
      pointNumber: 1,
      verifiedAt: '2026-11-22T17:00:00.000Z',
      isResumed: false,
      checkedBlocks: 1,
      skippedBlocks: 399,
      storedBytesRead: 1,
      plainBytes: 1,
      damageCount: 0,
    };
    const report = {
      type: 'verify',
      repository: 'r',
      durationSeconds: 1,
      outcome: 'ok',
      files: [sampled, { ...sampled, checkedBlocks: 3, skippedBlocks: 397 }],
      points: [],
      damage: [],
      damageCount: 0,
      unlistedFiles: [],
      failures: [],
      isRecorded: true,
    } as const;

    expect(formatVerify(report)).toMatch(
      /: no damage; 4 of 800 stored blocks were read \(0\.5 %\)$/,
    );
  });

  test('list names a folder that it cannot read, and does not call the repository empty', () => {
    const failure = {
      folder: 'r/web.1',
      code: 'REPOSITORY_METADATA_INVALID',
      message: 'web.vbm is missing',
      hint: 'rescan',
    } as const;
    const report = { type: 'list', repository: 'r', vms: [], failures: [failure] } as const;

    expect(formatList(report)).toBe(
      'cannot list r/web.1: web.vbm is missing (REPOSITORY_METADATA_INVALID)',
    );
    expect(formatList({ ...report, failures: [] })).toMatch(/^no VM/);
  });

  test('restore shows where each image is', () => {
    const text = formatRestore({
      type: 'restore',
      vmName: 'web',
      pointId: 'p1',
      pointNumber: 1,
      format: 'raw',
      durationSeconds: 1,
      messages: [],
      holes: [],
      failedDisks: [],
      disks: [
        {
          diskId: 'd1',
          alias: 'a.raw',
          path: 'out/a.raw',
          sizeBytes: 4096,
          writtenBytes: 1024,
          storedBytesRead: 512,
          wallSeconds: 1,
          holeBytes: 0,
          holesPath: undefined,
          takenBlocks: 0,
        },
      ],
    });

    expect(text).toMatch(/a\.raw +4\.00 KiB +1\.00 KiB .*out\/a\.raw/);
  });

  test('restore shows the first 20 holes, disks without an image, and taken blocks', () => {
    const hole = { diskId: 'd1', alias: 'a', code: 'INTEGRITY_CRC_MISMATCH', reason: 'r' };
    const disk = { diskId: 'd1', alias: 'a', path: 'o/a', sizeBytes: 99 << 20, writtenBytes: 0 };

    const text = formatRestore({
      type: 'restore',
      vmName: 'web',
      pointId: 'p1',
      pointNumber: 1,
      format: 'raw',
      durationSeconds: 1,
      messages: [],
      holes: Array.from({ length: 23 }, (_, k) => ({
        ...hole,
        offsetBytes: k << 21,
        lengthBytes: 1 << 20,
      })),
      failedDisks: [{ diskId: 'd2', alias: 'b\n', code: 'FORMAT_TRUNCATED', message: 'f is cut' }],
      disks: [
        {
          ...disk,
          storedBytesRead: 0,
          wallSeconds: 1,
          holeBytes: 23 << 20,
          holesPath: 'o/a.holes',
          takenBlocks: 1,
        },
      ],
    });

    expect(text).toMatch(/^a +99\.0 MiB +0 B +23\.0 MiB +1 block +1\.0 s +o\/a$/m);
    expect(text).toMatch(/^b\? +FORMAT_TRUNCATED +f is cut$/m);
    expect(text.match(/INTEGRITY_CRC_MISMATCH/g)).toHaveLength(20);
    expect(text).toMatch(/\nand 3 more\nlisted in o\/a\.holes$/);
  });

  test('rescan names what it left out, and why', () => {
    const vm = { vmName: 'web', vmId: 'i1', folder: 'f', pointCount: 2 };
    const leftOut = [{ fileName: 'x.vib', reason: 'its parent is missing' }];

    const text = formatRescan({ type: 'rescan', repository: 'r', vms: [{ ...vm, leftOut }] });

    expect(text.split('\n')).toEqual([
      'web (i1): 2 restore points',
      '  left out: x.vib (its parent is missing)',
    ]);
  });
});
