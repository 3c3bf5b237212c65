/** Errors of imageio as its clients see them: a status and one line of plain text (imageio: `http.Error`). */
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

/** Every problem with a ticket is 403, never 401, and closes the connection. */
export function forbidden(reason: string): ImageioError {
  const text = `You are not allowed to access this resource: ${reason}`;
  return new ImageioError(403, text, { connection: 'close' });
}

/** A parameter that is none of those it can be. */
export function unknownValue(name: string, value: string, known: readonly string[]): ImageioError {
  const list = known.map((one) => `'${one}'`).join(', ');
  const text = `Unsupported value '${value}' for '${name}', expecting one of [${list}]`;
  return new ImageioError(400, text);
}

/** The same error of a request whose body was not read: the connection cannot be used any more. */
export function closing(error: ImageioError): ImageioError {
  return new ImageioError(error.status, error.message, { ...error.headers, connection: 'close' });
}

/** `content-range` carries the true size. */
export function outOfRange(message: string, sizeBytes: number): ImageioError {
  return new ImageioError(416, message, { 'content-range': `bytes */${sizeBytes}` });
}

/** A full storage is all that may fail inside; imageio tells its clients no more than that it did. */
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
