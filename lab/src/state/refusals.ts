/**
 * Refusals of the engine: thrown anywhere below a route, rendered in one place.
 * Source: oVirt contract (faults of the REST API): a reason, and a `detail` in brackets without any code.
 */

/** An answer other than success. Without `reason` the body is empty. */
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

/** A validation of the engine said no; several messages are joined by commas in one pair of brackets. */
export function refusal(status: number, ...messages: readonly string[]): EngineFault {
  return new EngineFault(status, 'Operation Failed', `[${messages.join(', ')}]`);
}

/** An execution that failed without any message: 400 with an empty pair of brackets. */
export function executionFailure(): EngineFault {
  return refusal(400);
}

/** 404 with an empty body: the resource itself is unknown. */
export function unknownResource(): EngineFault {
  return new EngineFault(404, undefined, '');
}

/** 404 with a fault: something that a POST refers to is unknown. */
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
