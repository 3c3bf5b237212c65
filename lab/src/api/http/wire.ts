/**
 * Values of the engine's answers, and their JSON. xml.ts has their XML.
 *
 * Rules (oVirt contract): integers and booleans become strings, dates become epoch milliseconds as
 * numbers. An empty collection becomes `{}`. An absent value has no key.
 */

export interface WireRecord {
  readonly [name: string]: WireValue;
}

export type WireValue =
  | string
  | number
  | boolean
  | Date
  | WireList
  | WireRecord
  | readonly WireValue[]
  | undefined;

/** A collection and the name of its members: `{"disk":[…]}`. */
export class WireList {
  readonly item: string;
  readonly values: readonly WireValue[];

  constructor(item: string, values: readonly WireValue[]) {
    this.item = item;
    this.values = values;
  }
}

/** Prefix of every address of the API. */
export const API_PATH = '/ovirt-engine/api';

export interface EntityParts {
  readonly id: string;
  /** Path below the API root, without a leading slash. */
  readonly path: string;
  readonly fields: WireRecord;
  /** Names of sub-collections. */
  readonly links?: readonly string[] | undefined;
  readonly actions?: readonly string[] | undefined;
}

/** An entity with id, href, links and actions. */
export function entity(parts: EntityParts): WireRecord {
  const href = `${API_PATH}/${parts.path}`;
  const toLink = (rel: string): WireRecord => ({ href: `${href}/${rel}`, rel });
  return {
    ...parts.fields,
    id: parts.id,
    href,
    link: (parts.links ?? []).map(toLink),
    actions: parts.actions ? new WireList('link', parts.actions.map(toLink)) : undefined,
  };
}

/** A pointer to another entity. */
export function reference(id: string | undefined, collectionPath: string): WireRecord | undefined {
  return id === undefined ? undefined : { id, href: `${API_PATH}/${collectionPath}/${id}` };
}

type Json = string | number | readonly Json[] | { readonly [name: string]: Json };

function recordToJson(record: WireRecord): Json {
  const json: Record<string, Json> = {};
  for (const [name, value] of Object.entries(record)) {
    const rendered = toJson(value);
    if (rendered !== undefined) json[name] = rendered;
  }
  return json;
}

function arrayToJson(values: readonly WireValue[]): Json[] {
  return values.map(toJson).filter((value) => value !== undefined);
}

function listToJson(list: WireList): Json {
  return list.values.length === 0 ? {} : { [list.item]: arrayToJson(list.values) };
}

/** A value as JSON of the engine; undefined for an absent one. */
export function toJson(value: WireValue): Json | undefined {
  if (value === undefined || typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (value instanceof Date) return value.getTime();
  if (value instanceof WireList) return listToJson(value);
  if (Array.isArray(value)) return arrayToJson(value);
  return recordToJson(value as WireRecord);
}

/** Answer of a route. `root` is the name of the root element in XML. */
export interface WireReply {
  readonly status: number;
  readonly root: string;
  readonly value: WireValue;
}

export function reply(root: string, value: WireValue, status = 200): WireReply {
  return { status, root, value };
}

/** Answer of a collection. */
export function replyList(root: string, item: string, values: readonly WireValue[]): WireReply {
  return reply(root, new WireList(item, values));
}

/** Answer of an action or a delete. */
export function replyDone(): WireReply {
  return reply('action', { status: 'complete' });
}
