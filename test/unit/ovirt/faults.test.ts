/** Every fault text that the oVirt contract lists has its kind. */
import { describe, expect, it, vi } from 'vitest';
import { exitCodeOf } from '../../../src/core/errors.ts';
import {
  EngineFaultError,
  EngineLostError,
  isAway,
  isOutcomeUnknown,
  isUnsent,
} from '../../../src/ovirt/engine/engineErrors.ts';
import {
  classifyFault,
  type FaultKind,
  isBusy,
  isPlanOutdated,
} from '../../../src/ovirt/engine/faults.ts';

type Row = readonly [number, string, FaultKind];

const START: readonly Row[] = [
  [404, '[Entity not found: 7e3c]', 'not-found'],
  [403, '[User is not authorized to perform this action.]', 'forbidden'],
  [409, '[Cannot backup VM. The VM is during a backup operation.]', 'vm-busy'],
  [409, '[Related operation is currently in progress. Please try again later.]', 'vm-busy'],
  [409, '[Cannot backup VM. Disk is locked. Please try again later.]', 'disk-busy'],
  [409, '[Cannot backup VM. Backup of Hosted Engine VM is not supported.]', 'hosted-engine'],
  [400, '[The following disk(s) ID(s) does not exist: 7e3c.]', 'disk-unknown'],
  [409, '[The following disks are locked: sys. Please try again later.]', 'disk-busy'],
  [409, '[The following disks are not active on VM web01: sys.]', 'disk-inactive'],
  [500, '[General command validation failure.]', 'validation-failed'],
  [400, '[Incremental backup is not supported.]', 'incremental-refused'],
  [400, "[Checkpoint ID 7e3c doesn't exist.]", 'checkpoint-unknown'],
  [400, '[The checkpoint 7e3c is invalid and should be removed.]', 'checkpoint-invalid'],
  [409, '[Incremental backup is disabled for the following disks: sys.]', 'incremental-refused'],
  [400, '[Disk sys was not included in the previous VM backup.]', 'checkpoint-unknown'],
  [409, '[The VM should be in Up or Down status.]', 'vm-state'],
  [409, '[VM web01 is previewing a Snapshot.]', 'snapshot-preview'],
  [409, '[Cannot add Virtual Disk. Quota has insufficient storage resources.]', 'quota'],
  [409, '[The host has a version lower than 4.4.5.]', 'other'],
  [409, '[Backup is not supported by the host.]', 'other'],
  [400, "[The description shouldn't contain more than 1024 characters.]", 'other'],
  [400, '[A backup with ID 7e3c already exists.]', 'name-taken'],
  [400, '[]', 'no-reason'],
];

const TRANSFER: readonly Row[] = [
  [400, '[The specified disk does not exist.]', 'other'],
  [500, '[Disk sys is illegal.]', 'other'],
  [409, '[Storage Domain is not active.]', 'other'],
  [409, '[Disk sys is plugged to non-Down VMs: web01.]', 'other'],
  [409, '[Disk is locked: sys.]', 'disk-busy'],
  [409, '[Disk sys is being transferred.]', 'disk-busy'],
  [400, '[The specified VM backup does not exist.]', 'backup-gone'],
  [409, '[The VM backup is not in READY phase, backup phase is STARTING.]', 'backup-not-ready'],
  [400, '[The specified format is not applicable for VM backup.]', 'other'],
  [400, "[VM's Snapshot does not exist.]", 'backup-gone'],
  [403, '[User is not authorized to perform this action.]', 'forbidden'],
  [400, '[]', 'no-reason'],
];

const END: readonly Row[] = [
  [409, '[There is an active image transfer for VM backup]', 'active-transfer'],
  [400, '[The VM backup is not ready, a premature backup stop was initiated.]', 'already-stopping'],
  [400, "[The VM backup is already in 'SUCCEEDED' phase, no need to stop it.]", 'already-stopping'],
  [400, '[The VM backup is already stopped, no need to stop it.]', 'already-stopping'],
  [400, '[]', 'no-reason'],
  [404, '', 'not-found'],
];

const OTHERS: readonly Row[] = [
  [409, '[The VM is during a checkpoint removal operation.]', 'vm-busy'],
  [
    409,
    '[Disk configuration (RAW Sparse backup-None) is incompatible with the storage domain type.]',
    'storage-incompatible',
  ],
  [409, '[VM name web01 is already in use.]', 'name-taken'],
  [403, '[The VM is during a backup operation.]', 'forbidden'],
  [503, '', 'other'],
  [504, '[]', 'other'],
  [500, '[]', 'other'],
  [400, 'Sicherung nicht möglich', 'other'],
];

describe.each([
  ['start of a backup', START],
  ['creation of a transfer', TRANSFER],
  ['end of a backup', END],
  ['other calls', OTHERS],
])('faults of the %s', (_call, rows) => {
  it.each(rows)('%i %s is %s', (status, detail, kind) => {
    const found = classifyFault(status, detail);

    expect(found).toBe(kind);
  });
});

describe('kinds', () => {
  it('pass by themselves only where somebody else holds the VM or a disk', () => {
    const kinds = [...START, ...TRANSFER, ...END, ...OTHERS].map(([, , kind]) => kind);

    const busy = new Set(kinds.filter(isBusy));

    expect(busy).toEqual(new Set(['vm-busy', 'disk-busy']));
  });

  it('outdate a plan where they are about the disks of the VM', () => {
    const kinds = [...START, ...TRANSFER, ...END, ...OTHERS].map(([, , kind]) => kind);

    const outdated = new Set(kinds.filter(isPlanOutdated));

    expect(outdated).toEqual(new Set(['disk-unknown', 'disk-inactive', 'validation-failed']));
  });
});

describe('an error made of a fault', () => {
  it.each([
    ['forbidden', 403, 'ENGINE_FORBIDDEN', 12],
    ['not-found', 404, 'ENGINE_NOT_FOUND', 1],
    ['vm-busy', 409, 'ENGINE_BUSY', 1],
    ['disk-busy', 409, 'ENGINE_BUSY', 1],
    ['vm-state', 409, 'ENGINE_VM_STATE', 1],
    ['snapshot-preview', 409, 'ENGINE_VM_STATE', 1],
    ['hosted-engine', 409, 'ENGINE_VM_STATE', 1],
    ['other', 400, 'ENGINE_FAULT', 1],
    ['other', 500, 'ENGINE_FAULT', 1],
    ['other', 502, 'ENGINE_UNREACHABLE', 14],
    ['other', 503, 'ENGINE_UNREACHABLE', 14],
    ['other', 504, 'ENGINE_UNREACHABLE', 14],
  ] as const)('%s with %i has its code and exit code', (kind, status, code, exitCode) => {
    const error = new EngineFaultError(kind, status, 'GET /x', '');

    expect(error.code).toBe(code);
    expect(exitCodeOf(error)).toBe(exitCode);
    expect(isAway(error)).toBe(code === 'ENGINE_UNREACHABLE');
    expect(isOutcomeUnknown(error)).toBe(code === 'ENGINE_UNREACHABLE');
  });
});

function lost(code: string): EngineLostError {
  return new EngineLostError('https://e', 'POST /x', Object.assign(new Error(code), { code }));
}

describe('a request without an answer', () => {
  it.each(['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT'])(
    'never arrived after %s',
    (code) => {
      const error = lost(code);

      expect(error.code).toBe('ENGINE_UNREACHABLE');
      expect([isUnsent(error), isOutcomeUnknown(error)]).toEqual([true, false]);
    },
  );

  it('is told in plain words, with the code', () => {
    expect(lost('ECONNREFUSED').message).toContain('connection refused (ECONNREFUSED)');
  });

  it('names proxy variables, which are ignored, only when one is set', () => {
    for (const name of ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY', 'all_proxy']) {
      vi.stubEnv(name, undefined);
    }
    vi.stubEnv('ALL_PROXY', undefined);
    expect(lost('ECONNREFUSED').hint).not.toContain('prox');

    vi.stubEnv('https_proxy', 'http://proxy:3128');

    expect(lost('ECONNREFUSED').hint).toContain('proxies are not used (https_proxy ignored)');
    vi.unstubAllEnvs();
  });

  it.each(['ECONNRESET', 'UND_ERR_SOCKET', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])(
    'may have been carried out after %s',
    (code) => {
      const error = lost(code);

      expect(error.code).toBe('ENGINE_UNREACHABLE');
      expect([isUnsent(error), isOutcomeUnknown(error)]).toEqual([false, true]);
    },
  );

  it.each(['SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_HAS_EXPIRED'])(
    'is no engine that is away after %s',
    (code) => {
      const error = lost(code);

      expect(error.code).toBe('ENGINE_TLS_UNTRUSTED');
      expect([isAway(error), isUnsent(error)]).toEqual([false, false]);
      expect(exitCodeOf(error)).toBe(14);
    },
  );
});
