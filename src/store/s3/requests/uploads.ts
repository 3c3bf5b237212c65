/** Requests of multipart uploads. */
import { createHash } from 'node:crypto';
import { RepositoryError } from '../../../core/errors.ts';
import {
  BodyCut,
  type Bucket,
  crcText,
  type ObjectFacts,
  type Retention,
  retentionFields,
} from './bucket.ts';
import { isMissing, isUnsupported, nameOf, statusOf } from './failures.ts';

export interface UploadId {
  readonly key: string;
  readonly uploadId: string;
}

export interface SentPart {
  readonly number: number;
  readonly etag: string;
  /** CRC-32C in base64; undefined where the server does not know it. */
  readonly crc: string | undefined;
}

function isGone(error: unknown): boolean {
  return nameOf(error) === 'NoSuchUpload' || isMissing(error);
}

/** ETag that S3 gives an object of these parts; undefined where its parts are encrypted. */
function etagOf(parts: readonly SentPart[]): string | undefined {
  const digests = parts.map(({ etag }) => /^"?([0-9a-f]{32})"?$/.exec(etag)?.[1]);
  if (digests.includes(undefined)) return undefined;
  const md5 = createHash('md5');
  for (const digest of digests) md5.update(digest ?? '', 'hex');
  return `"${md5.digest('hex')}-${parts.length}"`;
}

export class Uploads {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /** Starts an upload. The caller is the only one that writes this object. */
  async start(key: string, retention: Retention | undefined): Promise<UploadId> {
    const { connection, name } = this.#bucket;
    let tries = 0;
    const uploadId = await connection.send<string | undefined>(
      `write ${this.#bucket.urlOf(key)}`,
      async (client, attempt) => {
        tries = attempt;
        const answer = await client.send(
          new connection.sdk.CreateMultipartUploadCommand({
            Bucket: name,
            Key: key,
            ContentType: 'application/octet-stream',
            ...(this.#bucket.hasCrc ? { ChecksumAlgorithm: 'CRC32C' as const } : {}),
            ...retentionFields(retention),
          }),
        );
        if (!answer.UploadId) throw new BodyCut();
        return answer.UploadId;
      },
      (error) => (this.#bucket.hasCrc && isUnsupported(error) ? { result: undefined } : undefined),
    );
    if (uploadId === undefined) {
      this.#bucket.dropCrc();
      return await this.start(key, retention);
    }
    if (tries > 1) await this.#abortOthers(key, uploadId);
    return { key, uploadId };
  }

  /** A start whose answer was lost leaves an upload. */
  async #abortOthers(key: string, uploadId: string): Promise<void> {
    for (const upload of await this.list(key)) {
      if (upload.key === key && upload.uploadId !== uploadId) await this.abort(upload);
    }
  }

  /** Sends a part. The body must not change until the promise settles. */
  async sendPart(upload: UploadId, part: number, body: Buffer): Promise<SentPart> {
    const { connection, name } = this.#bucket;
    const crc = this.#bucket.hasCrc ? crcText(body) : undefined;
    const { ContentMD5 } = crc === undefined ? this.#bucket.checkOf(body) : {};
    return await connection.send(
      `write part ${part} of ${this.#bucket.urlOf(upload.key)}`,
      async (client) => {
        const answer = await client.send(
          new connection.sdk.UploadPartCommand({
            Bucket: name,
            Key: upload.key,
            UploadId: upload.uploadId,
            PartNumber: part,
            Body: body,
            ...(crc === undefined ? { ContentMD5 } : { ChecksumCRC32C: crc }),
          }),
        );
        return { number: part, etag: answer.ETag ?? '', crc };
      },
      (error) => {
        if (nameOf(error) === 'NoSuchUpload') throw endedByOther(this.#bucket.urlOf(upload.key));
        return undefined;
      },
    );
  }

  /**
   * Makes an object of all parts, in order. After a lost answer the upload is gone, and the object
   * tells by its size and ETag that it is ours.
   */
  async complete(
    upload: UploadId,
    parts: readonly SentPart[],
    sizeBytes: number,
    isConditional: boolean = this.#bucket.hasConditions,
  ): Promise<ObjectFacts> {
    const { connection, name, versions } = this.#bucket;
    const url = this.#bucket.urlOf(upload.key);
    const result = await connection.send<ObjectFacts | 'gone' | 'conflict' | 'unconditional'>(
      `complete ${url}`,
      async (_client, _attempt, patient) => {
        const answer = await patient.send(
          new connection.sdk.CompleteMultipartUploadCommand({
            Bucket: name,
            Key: upload.key,
            UploadId: upload.uploadId,
            ...(isConditional ? { IfNoneMatch: '*' } : {}),
            MultipartUpload: {
              Parts: parts.map(({ number, etag, crc }) => ({
                PartNumber: number,
                ETag: etag,
                ...(crc === undefined ? {} : { ChecksumCRC32C: crc }),
              })),
            },
          }),
        );
        versions.add(upload.key, answer.VersionId, false);
        return { etag: answer.ETag ?? '', sizeBytes, modifiedAtMs: connection.serverNowMs() };
      },
      (error) => {
        if (isConditional && isUnsupported(error)) return { result: 'unconditional' };
        if (statusOf(error) === 412) return { result: 'conflict' };
        return isGone(error) ? { result: 'gone' } : undefined;
      },
    );
    if (result === 'unconditional') return await this.complete(upload, parts, sizeBytes, false);
    if (typeof result === 'object') return result;
    const found = await this.#bucket.head(upload.key);
    const etag = etagOf(parts);
    const isOurs = found?.sizeBytes === sizeBytes && (etag === undefined || found.etag === etag);
    if (found && isOurs) return found;
    throw result === 'gone' ? endedByOther(url) : nameTaken(url);
  }

  /** Ends an upload and deletes its parts. It is no error when it is gone. */
  async abort(upload: UploadId): Promise<void> {
    const { connection, name } = this.#bucket;
    await connection.send<void>(
      `discard ${this.#bucket.urlOf(upload.key)}`,
      async (client) => {
        await client.send(
          new connection.sdk.AbortMultipartUploadCommand({
            Bucket: name,
            Key: upload.key,
            UploadId: upload.uploadId,
          }),
        );
      },
      (error) => (isGone(error) ? { result: undefined } : undefined),
    );
  }

  /** Uploads of keys that begin with `prefix`. */
  async list(prefix: string): Promise<UploadId[]> {
    const { connection, name } = this.#bucket;
    const found: UploadId[] = [];
    let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (marker) {
      const from: { KeyMarker?: string; UploadIdMarker?: string } = marker;
      const page = await connection.send(
        `list uploads of ${this.#bucket.urlOf(prefix)}`,
        async (client) =>
          client.send(
            new connection.sdk.ListMultipartUploadsCommand({
              Bucket: name,
              Prefix: prefix,
              ...from,
            }),
          ),
      );
      for (const { Key: key = '', UploadId: uploadId } of page.Uploads ?? []) {
        if (key.startsWith(prefix) && uploadId) found.push({ key, uploadId });
      }
      const { NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
      const hasNext = page.IsTruncated === true && KeyMarker && UploadIdMarker;
      marker = hasNext ? { KeyMarker, UploadIdMarker } : undefined;
    }
    return found;
  }
}

function endedByOther(url: string): RepositoryError {
  return new RepositoryError(
    'REPOSITORY_LOCKED',
    `the upload of ${url} was ended by another session`,
    {
      hint: 'another session took the lock over, because this one could not renew it; run the command again',
    },
  );
}

export function nameTaken(url: string): RepositoryError {
  return new RepositoryError('REPOSITORY_IO', `write ${url}: there is already such an object`, {
    hint: 'run the command again; it chooses another name',
    details: { errno: 'EEXIST' },
  });
}
