/**
 * Refusals of the engine. Any code below a route throws them; engineHttp.ts renders them.
 * Source: oVirt contract (faults of the REST API): a reason, and a `detail` in brackets without a
 * code.
 */

/** An answer other than success. The body is empty without `reason`. */
export class EngineFault extends Error {
  readonly status: number;
  readonly reason: string | undefined;
  readonly detail: string;

  constructor(status: number, reason: string | undefined, detail: string) {
    super(`${status} ${reason ?? ''} ${detail}`);
    this.status = status;
    this.reason = reason;
    this.detail = detail;
  }
}

/** A validation failed. Several messages are joined by commas within one pair of brackets. */
export function refusal(status: number, ...messages: readonly string[]): EngineFault {
  return new EngineFault(status, 'Operation Failed', `[${messages.join(', ')}]`);
}

/** A failure after the validations, without a message: 400 with empty brackets. */
export function executionFailure(): EngineFault {
  return refusal(400);
}

/** 404 with an empty body: the resource itself is unknown. */
export function unknownResource(): EngineFault {
  return new EngineFault(404, undefined, '');
}

/** 404 with a fault: the body or path of a POST names something unknown. */
export function unknownParent(id: string): EngineFault {
  return refusal(404, `Entity not found: ${id}`);
}

/** A mandatory field is missing. */
export function incompleteParameters(
  type: string,
  fields: readonly string[],
  method: string,
): EngineFault {
  return new EngineFault(
    400,
    'Incomplete parameters',
    `${type} [${fields.join(', ')}] required for ${method}`,
  );
}

/** The user lacks a permission. */
export function forbidden(): EngineFault {
  return refusal(403, 'User is not authorized to perform this action.');
}

/** Names of VMs and disks. Source: ovirt-engine ValidationUtils.NO_SPECIAL_CHARACTERS_I18N. */
const NAME = /^[\p{L}0-9._-]*$/u;

/** @throws EngineFault 400 for a name with other characters */
export function checkName(name: string, action: string): void {
  if (NAME.test(name)) return;
  throw refusal(
    400,
    `Cannot ${action}. The given name contains special characters. Only lower-case and upper-case letters, numbers, '_', '-', '.' are allowed.`,
  );
}
