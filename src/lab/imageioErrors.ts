/** Errors of imageio as its clients see them: a status and one line of plain text (imageio: `http.Error`). */
import { errnoOf } from '../core/errors.ts';
import type { LabHttpResponse } from './labResponse.ts';

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

/** `content-range` carries the true size. */
export function outOfRange(message: string, sizeBytes: number): ImageioError {
  return new ImageioError(416, message, { 'content-range': `bytes */${sizeBytes}` });
}

/** A full storage is all that may fail inside; imageio tells its clients no more than that it did. */
export function toErrorAnswer(error: unknown): LabHttpResponse {
  if (error instanceof ImageioError) {
    return { status: error.status, body: error.message, headers: error.headers };
  }
  if (errnoOf(error) !== 'ENOSPC') throw error;
  return {
    status: 500,
    body: 'Server failed to perform the request, check logs for more info.',
    headers: { connection: 'close' },
  };
}
