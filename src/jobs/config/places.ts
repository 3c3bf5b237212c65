/** Addresses of a job file: engines, buckets, web hooks, mail; and searches of an engine. */
import { isIP } from 'node:net';
import { UsageError } from '../../core/errors.ts';
import { isLoopback } from '../../core/loopback.ts';
import { parseS3Location } from '../../store/s3/location.ts';
import { BadValue, shown } from './values.ts';

const ENGINE_EXAMPLE = 'write https://engine.example/ovirt-engine';

/** The texts of URLs stay out of messages: they may hold a password or a token. */
function parseUrl(text: string, advice: string): URL {
  if (!URL.canParse(text)) throw new BadValue('is no valid URL', advice);
  const url = new URL(text);
  if (url.username === '' && url.password === '') return url;
  throw new BadValue(
    'holds a user name or a password',
    `${advice}; secrets have files of their own`,
  );
}

export function parseEngineUrl(text: string): string {
  const { protocol } = parseUrl(text, ENGINE_EXAMPLE);
  if (protocol === 'https:') return text;
  throw new BadValue(`begins with ${protocol}//, not with https://`, ENGINE_EXAMPLE);
}

export function parseS3Url(text: string): string {
  const advice = 'write s3://BUCKET/PATH; a folder is named by "path"';
  if (!text.toLowerCase().startsWith('s3://')) throw new BadValue('names no bucket', advice);
  try {
    parseS3Location(text);
    return text;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new BadValue(error.message, error.hint);
  }
}

/** Folders take no URL: a mistyped one would become a folder here. */
export function parseFolder(text: string): string {
  if (!/^[a-z][a-z\d+.-]*:\/\//i.test(text)) return text;
  throw new BadValue('is a URL, not a folder', 'write "url" for a bucket: url: s3://BUCKET/PATH');
}

export function parseWebhookUrl(text: string): string {
  const advice = 'write https://HOST/PATH; only this machine may be called without TLS';
  const { protocol, hostname } = parseUrl(text, advice);
  if (protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname))) return text;
  throw new BadValue(`begins with ${protocol}//, not with https://`, advice);
}

/** A value as a message shows it. One with a colon and an `@` may hold a password. */
function unlessSecret(text: string): string {
  return /:.*@/.test(text) ? 'the value' : shown(text);
}

export function parseHost(text: string): string {
  if (isIP(text) > 0 || /^[a-z0-9_]([a-z0-9._-]*[a-z0-9])?$/i.test(text)) return text;
  throw new BadValue(
    `${unlessSecret(text)} is no host name`,
    'write a name or an address, without a port',
  );
}

/** `name@host`, or `Name <name@host>`. */
export function parseAddress(text: string): string {
  if (/^(?:[^<>@,;]*<)?[^\s<>@,;]+@[^\s<>@,;]+$/.test(text.replace(/>$/, ''))) return text;
  throw new BadValue(`${unlessSecret(text)} is no mail address`, 'write name@example.org');
}

export function checkSearch(text: string): string {
  if (/\bpage\s+\d+\s*$/i.test(text)) {
    throw new BadValue('asks for a single page', 'leave out "page": all pages are read');
  }
  return text;
}

export function parseTag(text: string): string {
  if (!text.includes('"')) return text;
  throw new BadValue('has a quotation mark', 'write the tag as the engine shows it');
}

/** A search that finds the VMs of `search`, and those with any of the tags. */
export function searchWithTags(
  search: string | undefined,
  tags: readonly string[],
): string | undefined {
  const terms = tags.map((tag) => `tag=${/^[\w.*-]+$/.test(tag) ? tag : `"${tag}"`}`);
  const parts = search === undefined ? terms : [search, ...terms];
  return parts.length === 0 ? undefined : parts.join(' or ');
}
