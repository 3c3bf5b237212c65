/** Bodies and queries of requests: read within limits, then checked by their schemas. */
import type { IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { ApiError } from '../problems.ts';

const MAX_BODY_BYTES = 64 * 1024;

function badRequest(message: string): ApiError {
  return new ApiError('API_BAD_REQUEST', message, 'see /api/v1/openapi.json');
}

/** `body: disks.0: …`, of the first problem. */
function problemText(what: string, error: z.ZodError): string {
  const issue = error.issues[0];
  const place = [what, ...(issue?.path ?? []).map(String)].join(': ');
  return `${place}: ${issue?.message ?? 'is not as expected'}`;
}

/** @throws {@link ApiError} `API_BAD_REQUEST` that names the first key or value that is wrong */
export function checked<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw badRequest(problemText(what, result.error));
}

/** Parameters of a query. @throws {@link ApiError} `API_BAD_REQUEST` for a name that is twice */
export function queryOf(url: string): Readonly<Record<string, string>> {
  const values = new Map<string, string>();
  for (const [name, value] of new URL(url).searchParams) {
    if (values.has(name)) throw badRequest(`query: ${name} is given twice`);
    values.set(name, value);
  }
  return Object.fromEntries(values);
}

async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  // An iterator that ends early must leave the connection, so that the answer can be sent.
  const body: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > MAX_BODY_BYTES) throw tooLarge();
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function tooLarge(): ApiError {
  const text = `the body is larger than ${MAX_BODY_BYTES / 1024} KiB`;
  // The rest of the body is not read, so the connection cannot be used again.
  return new ApiError('API_BODY_TOO_LARGE', text, 'name fewer VMs', { connection: 'close' });
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw badRequest('body: is not JSON');
  }
}

/**
 * The JSON of a body; undefined when there is none.
 *
 * @throws {@link ApiError} `API_BODY_TOO_LARGE`, `API_CONTENT_TYPE`, `API_BAD_REQUEST`
 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const bytes = await readBytes(request);
  if (bytes.length === 0) return undefined;
  const type = request.headers['content-type'] ?? '';
  if (!/^application\/json(?: *; *charset="?utf-8"?)?$/i.test(type.trim())) {
    const hint = 'send the header "content-type: application/json"';
    throw new ApiError('API_CONTENT_TYPE', 'the body is not application/json', hint);
  }
  return parseJson(bytes);
}
