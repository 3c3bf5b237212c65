/** Requests for objects, with checked answers. One method sends one kind of request. */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { GetObjectCommandOutput, PutObjectCommandInput } from '@aws-sdk/client-s3';
import { crc32c } from '../../../core/crc32.ts';
import { RepositoryError } from '../../../core/errors.ts';
import type { FileFacts } from '../../store.ts';
import type { S3Connection } from './client.ts';
import { isMissing, isUnsupported, statusOf } from './failures.ts';
import { VersionNotes } from './versionNotes.ts';

export interface ObjectFacts extends FileFacts {
  readonly etag: string;
}

export interface ReadObject {
  readonly bytes: Buffer;
  readonly facts: ObjectFacts;
}

/** Object Lock of a new object. */
export interface Retention {
  readonly mode: 'COMPLIANCE' | 'GOVERNANCE';
  readonly untilMs: number;
}

export interface PutOptions {
  /** The object must not exist. */
  readonly onlyIfAbsent?: boolean;
  /** The object must exist with this ETag. */
  readonly ifMatch?: string;
  readonly retention?: Retention | undefined;
  /** The caller knows that there is no object of this name. */
  readonly isNew?: boolean;
}

export interface ListedObjects {
  /** Facts by name. A name is the key without the prefix. */
  readonly files: Map<string, ObjectFacts>;
  readonly folders: string[];
}

/** The checksum with which the server checks a body. */
type BodyCheck = Pick<PutObjectCommandInput, 'ChecksumAlgorithm' | 'ChecksumCRC32C' | 'ContentMD5'>;

export function crcText(bytes: Uint8Array): string {
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32c(bytes));
  return crc.toString('base64');
}

/** `bytes 5-9/100` → first 5, last 9, total 100. */
function parseContentRange(text: string | undefined): number[] | undefined {
  const found = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(text ?? '');
  return found?.slice(1).map(Number);
}

/** The answer ended early or does not fit the request. The request is sent again. */
export class BodyCut extends Error {
  readonly code = 'BodyCut';
}

/**
 * An answer that is no list reads as an empty one. Then files would count as deleted.
 *
 * @param hasNext - whether the answer tells how to go on.
 */
export function requireList(
  { IsTruncated: isTruncated }: { readonly IsTruncated?: boolean | undefined },
  hasNext: boolean,
): void {
  if (isTruncated === undefined || (isTruncated && !hasNext)) throw new BodyCut();
}

function factsOf(answer: GetObjectCommandOutput, sizeBytes: number): ObjectFacts {
  const modifiedAtMs = answer.LastModified?.getTime() ?? NaN;
  if (!answer.ETag || !Number.isFinite(modifiedAtMs)) throw new BodyCut();
  return { etag: answer.ETag, modifiedAtMs, sizeBytes };
}

async function readBody(answer: GetObjectCommandOutput, lengthBytes: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(lengthBytes);
  let atBytes = 0;
  for await (const chunk of answer.Body as Readable) {
    const piece = chunk as Buffer;
    if (atBytes + piece.length > lengthBytes) throw new BodyCut();
    bytes.set(piece, atBytes);
    atBytes += piece.length;
  }
  if (atBytes !== lengthBytes) throw new BodyCut();
  return bytes;
}

export class Bucket {
  readonly name: string;
  readonly connection: S3Connection;
  readonly versions: VersionNotes = new VersionNotes();
  /** False for a server that does not know conditional writes. Then none is sent. */
  readonly hasConditions: boolean;
  #hasCrc = true;

  constructor(name: string, connection: S3Connection, hasConditions: boolean) {
    this.name = name;
    this.connection = connection;
    this.hasConditions = hasConditions;
  }

  urlOf(key: string): string {
    return `s3://${this.name}/${key}`;
  }

  /** A whole object; undefined when there is none. @throws `REPOSITORY_METADATA_INVALID` */
  async get(key: string, maxBytes: number): Promise<ReadObject | undefined> {
    const url = this.urlOf(key);
    return await this.connection.send<ReadObject | undefined>(
      `read ${url}`,
      async (client) => {
        const command = new this.connection.sdk.GetObjectCommand({
          Bucket: this.name,
          Key: key,
          // The SDK compares the checksum that the object was written with.
          ChecksumMode: 'ENABLED',
        });
        const answer = await client.send(command);
        this.versions.see(answer.VersionId);
        const sizeBytes = answer.ContentLength ?? Infinity;
        if (sizeBytes > maxBytes) {
          (answer.Body as Readable).destroy();
          throw tooLong(url, maxBytes);
        }
        return { bytes: await readBody(answer, sizeBytes), facts: factsOf(answer, sizeBytes) };
      },
      (error) => (isMissing(error) ? { result: undefined } : undefined),
    );
  }

  /**
   * Bytes of an object: at most `lengthBytes`, fewer where the object ends.
   *
   * @param etag - of an earlier answer. The object must not have changed since then.
   * @returns `missing`; `changed` for another ETag; `outside` when the object ends before.
   */
  async getRange(
    key: string,
    fromBytes: number,
    lengthBytes: number,
    etag?: string,
  ): Promise<ReadObject | 'missing' | 'changed' | 'outside'> {
    return await this.connection.send<ReadObject | 'missing' | 'changed' | 'outside'>(
      `read ${this.urlOf(key)}`,
      async (client) => {
        const answer = await client.send(
          new this.connection.sdk.GetObjectCommand({
            Bucket: this.name,
            Key: key,
            Range: `bytes=${fromBytes}-${fromBytes + lengthBytes - 1}`,
            ...(etag === undefined ? {} : { IfMatch: etag }),
          }),
        );
        this.versions.see(answer.VersionId);
        const [first, last = 0, sizeBytes = 0] = parseContentRange(answer.ContentRange) ?? [];
        const isAsked =
          first === fromBytes && last === Math.min(fromBytes + lengthBytes, sizeBytes) - 1;
        if (!isAsked || (etag !== undefined && answer.ETag !== etag)) {
          (answer.Body as Readable).destroy();
          throw new BodyCut();
        }
        const bytes = await readBody(answer, last - first + 1);
        return { bytes, facts: factsOf(answer, sizeBytes) };
      },
      (error) => {
        if (isMissing(error)) return { result: 'missing' };
        if (statusOf(error) === 416) return { result: 'outside' };
        return statusOf(error) === 412 ? { result: 'changed' } : undefined;
      },
    );
  }

  /** Facts of an object; undefined when there is none. */
  async head(key: string): Promise<ObjectFacts | undefined> {
    return await this.connection.send<ObjectFacts | undefined>(
      `look at ${this.urlOf(key)}`,
      async (client) => {
        const command = new this.connection.sdk.HeadObjectCommand({ Bucket: this.name, Key: key });
        const answer = await client.send(command);
        this.versions.see(answer.VersionId);
        const { ContentLength: sizeBytes = NaN, ETag: etag, LastModified: modified } = answer;
        if (!etag || !modified || !Number.isSafeInteger(sizeBytes)) throw new BodyCut();
        return { etag, sizeBytes, modifiedAtMs: modified.getTime() };
      },
      (error) => (isMissing(error) ? { result: undefined } : undefined),
    );
  }

  /**
   * Writes an object. A conditional write whose answer was lost finds its own object when it is
   * sent again, by us or on its way. So the same content counts as ours.
   *
   * @returns `conflict` when the condition did not hold, and another content is there.
   */
  async put(
    key: string,
    body: Buffer,
    options: PutOptions = {},
  ): Promise<ObjectFacts | 'conflict'> {
    const { retention, isNew = false } = options;
    const onlyIfAbsent = this.hasConditions && options.onlyIfAbsent === true;
    const ifMatch = this.hasConditions ? options.ifMatch : undefined;
    const hasCondition = onlyIfAbsent || ifMatch !== undefined;
    const result = await this.connection.send<ObjectFacts | 'conflict' | 'unchecked'>(
      `write ${this.urlOf(key)}`,
      async (client, attempt) => {
        const answer = await client.send(
          new this.connection.sdk.PutObjectCommand({
            Bucket: this.name,
            Key: key,
            Body: body,
            ContentType: 'application/octet-stream',
            ...this.checkOf(body),
            ...(onlyIfAbsent ? { IfNoneMatch: '*' } : {}),
            ...(ifMatch === undefined ? {} : { IfMatch: ifMatch }),
            ...retentionFields(retention),
          }),
        );
        this.versions.add(key, answer.VersionId, (onlyIfAbsent || isNew) && attempt === 1);
        const { ETag: etag } = answer;
        if (!etag) throw new BodyCut();
        return { etag, sizeBytes: body.length, modifiedAtMs: this.connection.serverNowMs() };
      },
      (error) => {
        const isRefused = statusOf(error) === 412 || (ifMatch !== undefined && isMissing(error));
        if (hasCondition && isRefused) return { result: 'conflict' };
        return this.#hasCrc && isUnsupported(error) ? { result: 'unchecked' } : undefined;
      },
    );
    if (result === 'unchecked') {
      this.#hasCrc = false;
      return await this.put(key, body, options);
    }
    if (result !== 'conflict') return result;
    const found = await this.getRange(key, 0, body.length + 1);
    return typeof found === 'object' && found.bytes.equals(body) ? found.facts : 'conflict';
  }

  /** A server that does not know CRC-32C checks bodies by MD5. */
  checkOf(body: Buffer): BodyCheck {
    if (this.#hasCrc) return { ChecksumAlgorithm: 'CRC32C', ChecksumCRC32C: crcText(body) };
    return { ContentMD5: createHash('md5').update(body).digest('base64') };
  }

  get hasCrc(): boolean {
    return this.#hasCrc;
  }

  /** From now on bodies are checked by MD5. */
  dropCrc(): void {
    this.#hasCrc = false;
  }

  /** Objects below `prefix`, which ends with `/` or is ''. Deeper ones count as folders. */
  async list(prefix: string): Promise<ListedObjects> {
    const listed: ListedObjects = { files: new Map(), folders: [] };
    let token: string | undefined;
    do {
      const from: { ContinuationToken?: string } =
        token === undefined ? {} : { ContinuationToken: token };
      const page = await this.connection.send(`list ${this.urlOf(prefix)}`, async (client) => {
        const { ListObjectsV2Command } = this.connection.sdk;
        const answer = await client.send(
          new ListObjectsV2Command({ Bucket: this.name, Prefix: prefix, Delimiter: '/', ...from }),
        );
        const next = answer.NextContinuationToken;
        requireList(answer, next !== undefined && next !== token);
        return answer;
      });
      for (const { Key = '', Size = 0, LastModified, ETag = '' } of page.Contents ?? []) {
        const name = key(Key, prefix);
        if (!name) continue;
        const modifiedAtMs = LastModified?.getTime() ?? 0;
        listed.files.set(name, { sizeBytes: Size, modifiedAtMs, etag: ETag });
      }
      for (const { Prefix = '' } of page.CommonPrefixes ?? []) {
        listed.folders.push(key(Prefix, prefix).replace(/\/$/, ''));
      }
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
    return listed;
  }
}

/** The rest of a key; '' for a key outside of the prefix. */
function key(text: string, prefix: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : '';
}

export function retentionFields(
  retention: Retention | undefined,
): Pick<PutObjectCommandInput, 'ObjectLockMode' | 'ObjectLockRetainUntilDate'> {
  if (!retention) return {};
  return {
    ObjectLockMode: retention.mode,
    ObjectLockRetainUntilDate: new Date(retention.untilMs),
  };
}

function tooLong(url: string, maxBytes: number): RepositoryError {
  return new RepositoryError(
    'REPOSITORY_METADATA_INVALID',
    `${url} has more than ${maxBytes} B; no file of a repository is so large`,
    { hint: 'move it away; "ovirt-cbt rescan" rebuilds chain metadata' },
  );
}
