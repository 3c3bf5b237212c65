/** Errors of imageio: a status and one line of plain text (imageio: `http.Error`). */
import { errnoOf } from '../errors.ts';
import type { LabHttpResponse } from '../http/response.ts';

export class ImageioError extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** A problem with a ticket: always 403, never 401. Closes the connection. */
export function forbidden(reason: string): ImageioError {
  const text = `You are not allowed to access this resource: ${reason}`;
  return new ImageioError(403, text, { connection: 'close' });
}

/** A parameter with a value that is not known. */
export function unknownValue(name: string, value: string, known: readonly string[]): ImageioError {
  const list = known.map((one) => `'${one}'`).join(', ');
  const text = `Unsupported value '${value}' for '${name}', expecting one of [${list}]`;
  return new ImageioError(400, text);
}

/** The error of a request whose body was not read. The connection cannot be used again. */
export function closing(error: ImageioError): ImageioError {
  return new ImageioError(error.status, error.message, { ...error.headers, connection: 'close' });
}

/** A range outside of the image. `content-range` has the true size. */
export function outOfRange(message: string, sizeBytes: number): ImageioError {
  return new ImageioError(416, message, { 'content-range': `bytes */${sizeBytes}` });
}

/**
 * The answer to an error. A full storage becomes 500 without a reason, as in imageio. Any other
 * error is a bug of the lab and is thrown on.
 */
export function toErrorAnswer(error: unknown): LabHttpResponse {
  if (error instanceof ImageioError) {
    return { status: error.status, body: `${error.message}\n`, headers: error.headers };
  }
  if (errnoOf(error) !== 'ENOSPC') throw error;
  return {
    status: 500,
    body: 'Server failed to perform the request, check logs for more info.\n',
    headers: { connection: 'close' },
  };
}
