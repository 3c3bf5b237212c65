/** Errors of calls to the engine: faults it answered with, and requests without an answer. */
import { type ErrorCode, EngineError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import { type FaultKind, isBusy } from './faults.ts';
import { describeFailure } from '../networkFailure.ts';
import { proxyHint } from '../proxyVariables.ts';

const GATEWAY_STATUS = new Set([502, 503, 504]);

/** A fault that the engine answered with. Callers branch on `kind`. */
export class EngineFaultError extends EngineError {
  readonly kind: FaultKind;
  readonly status: number;
  /** The engine's own text. Empty when it gave none. */
  readonly detail: string;
  /** The body was a page, which may come from a gateway instead of the engine. */
  readonly isPage: boolean;

  constructor(kind: FaultKind, status: number, what: string, detail: string, isPage = false) {
    const shown = detail || `HTTP ${status}`;
    super(codeOf(kind, status), `${what}: ${shown}`, {
      hint: hintOf(kind),
      details: { httpStatus: status, kind },
    });
    this.kind = kind;
    this.status = status;
    this.detail = detail;
    this.isPage = isPage;
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'EngineError', configurable: true });
  }
}

function codeOf(kind: FaultKind, status: number): ErrorCode {
  if (kind === 'forbidden') return 'ENGINE_FORBIDDEN';
  if (kind === 'not-found') return 'ENGINE_NOT_FOUND';
  if (isBusy(kind)) return 'ENGINE_BUSY';
  if (kind === 'vm-state' || kind === 'snapshot-preview' || kind === 'hosted-engine') {
    return 'ENGINE_VM_STATE';
  }
  return GATEWAY_STATUS.has(status) ? 'ENGINE_UNREACHABLE' : 'ENGINE_FAULT';
}

function hintOf(kind: FaultKind): string | undefined {
  if (kind === 'forbidden') {
    return 'give the user the permission BACKUP_DISK on the disks and EDIT_DISK_PROPERTIES and CREATE_DISK for their transfers (for instance by the roles UserVmManager and DiskOperator), or use an administrator';
  }
  if (isBusy(kind)) return 'another operation holds the VM or a disk; wait until it has ended';
  if (kind === 'quota') {
    return 'the data center enforces quotas: give the user a quota with enough free space on the storage domain';
  }
  return undefined;
}

/** A request without an answer. Unless `isUnsent`, nobody knows whether it was carried out. */
export class EngineLostError extends EngineError {
  readonly isUnsent: boolean;

  constructor(origin: string, what: string, error: unknown) {
    const { reason, isTls, isUnsent } = describeFailure(error);
    super(
      isTls ? 'ENGINE_TLS_UNTRUSTED' : 'ENGINE_UNREACHABLE',
      `${what} at ${origin}: ${plainReason(reason)}`,
      {
        cause: error,
        hint: isTls
          ? tlsHint(origin)
          : `check the URL, the network and that the engine is running${proxyHint()}`,
        details: { reason },
      },
    );
    this.isUnsent = isUnsent;
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'EngineError', configurable: true });
  }
}

/** Tells how to trust the engine's own CA. There is no option that switches checks off. */
function tlsHint(origin: string): string {
  return `the certificate is not signed by a CA that is trusted here; oVirt signs with an internal CA: get it from ${origin}/ovirt-engine/services/pki-resource?resource=ca-certificate&format=X509-PEM-CA, compare its fingerprint with that on the engine (/etc/pki/ovirt-engine/ca.pem), and give it with --ca-file, OVIRT_CAFILE or caFile of a job file`;
}

export function authRefused(message: string): EngineError {
  return new EngineError('ENGINE_AUTH_REFUSED', message, {
    hint: 'check user name (user@profile, such as admin@internal or admin@ovirt@internalsso) and password; it is not tried again, because the engine locks accounts',
  });
}

/** True when the engine may be restarting: no answer, or one of its gateway. */
export function isAway(error: unknown): boolean {
  return error instanceof EngineError && error.code === 'ENGINE_UNREACHABLE';
}

/** True for a request that never reached the engine. */
export function isUnsent(error: unknown): boolean {
  return error instanceof EngineLostError && isAway(error) && error.isUnsent;
}

/** True for errors that count as not carried out: the engine refused, or was never reached. */
export function isRefusal(error: unknown): boolean {
  if (error instanceof EngineLostError) return error.isUnsent;
  return error instanceof EngineError && !isOutcomeUnknown(error);
}

/** For requests that may be repeated: true except for missing rights, login and certificate. */
export function mayAskAgain(error: EngineError): boolean {
  const { code } = error;
  return (
    code !== 'ENGINE_FORBIDDEN' && code !== 'ENGINE_AUTH_REFUSED' && code !== 'ENGINE_TLS_UNTRUSTED'
  );
}

/** True when it is unknown whether a request that changes state was carried out. */
export function isOutcomeUnknown(error: unknown): boolean {
  if (error instanceof EngineLostError) return !error.isUnsent;
  return error instanceof EngineFaultError && GATEWAY_STATUS.has(error.status);
}

/** The kind of a fault, or undefined for other errors. */
export function faultKind(error: unknown): FaultKind | undefined {
  return error instanceof EngineFaultError ? error.kind : undefined;
}

/** The text of the engine that says what holds a VM or a disk; undefined for other errors. */
export function busyReason(error: unknown): string | undefined {
  if (!(error instanceof EngineFaultError)) return undefined;
  const isHeld = isBusy(error.kind) || error.kind === 'vm-state';
  return isHeld ? error.detail.replaceAll(/^\[|\]$/g, '') || error.kind : undefined;
}
