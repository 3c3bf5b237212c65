/**
 * Files of the page. All are read once, when the console starts. A request names one of them, so no
 * path of a request reaches the file system.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Beside this module, and as far from the bundle in `dist/bin`. */
export const PAGE_FOLDER: string = fileURLToPath(new URL('../console/page/', import.meta.url));
const INDEX = '/index.html';
/** Files with other endings are not served. */
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.txt': 'text/plain; charset=utf-8',
};

interface PageFile {
  readonly type: string;
  readonly etag: string;
  readonly bytes: Buffer;
}

/** By path of the URL. */
export type PageFiles = ReadonlyMap<string, PageFile>;

/** A value for the header `etag`. */
export function etagOf(content: Buffer | string): string {
  return `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
}

/** True when the client has this version already. */
export function isKnown(ifNoneMatch: string | undefined, etag: string): boolean {
  return (ifNoneMatch ?? '').split(',').some((one) => one.trim().replace(/^W\//, '') === etag);
}

/** Reads all files of a folder and of those inside it. */
export async function readPageFiles(folder: string): Promise<PageFiles> {
  const names = await readdir(folder, { recursive: true });
  const files = new Map<string, PageFile>();
  for (const name of names) {
    const type = TYPES[path.extname(name)];
    if (type === undefined) continue;
    const bytes = await readFile(path.join(folder, name));
    files.set(`/${name}`, { type, etag: etagOf(bytes), bytes });
  }
  const index = files.get(INDEX);
  if (index) files.set('/', index);
  return files;
}

/** Answers with a file of the page. */
export function sendPageFile(
  file: PageFile,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { type, etag, bytes } = file;
  const isNotNew = isKnown(request.headers['if-none-match'], etag);
  const length = isNotNew ? {} : { 'content-type': type, 'content-length': bytes.length };
  response.writeHead(isNotNew ? 304 : 200, { ...length, etag, 'cache-control': 'no-cache' });
  response.end(isNotNew || request.method === 'HEAD' ? undefined : bytes);
}
