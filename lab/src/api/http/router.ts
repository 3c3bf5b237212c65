/**
 * Finds the route of a request by method and path pattern. A path variable must be a UUID; any
 * other value is answered with an empty 404 (oVirt contract). Routes therefore see well-formed ids
 * only.
 */
import type { z } from 'zod';
import { type BodyFormat, isUuid, readBody } from './body.ts';
import type { Engine } from '../../state/core.ts';
import { EngineFault, unknownResource } from '../../state/refusals.ts';
import type { WireReply } from './wire.ts';

/** One authenticated request. */
export class EngineCall {
  readonly engine: Engine;
  readonly query: URLSearchParams;
  readonly correlationId: string;
  /** Value of the `All-Content` header. */
  readonly #allContent: boolean;
  readonly #params: Readonly<Record<string, string>>;
  readonly #bodyText: string;
  readonly #bodyFormat: BodyFormat;

  constructor(
    engine: Engine,
    parts: {
      readonly params: Readonly<Record<string, string>>;
      readonly query: URLSearchParams;
      readonly correlationId: string;
      readonly allContent: boolean;
      readonly bodyText: string;
      readonly bodyFormat: BodyFormat;
    },
  ) {
    this.engine = engine;
    this.query = parts.query;
    this.correlationId = parts.correlationId;
    this.#allContent = parts.allContent;
    this.#params = parts.params;
    this.#bodyText = parts.bodyText;
    this.#bodyFormat = parts.bodyFormat;
  }

  /**
   * A variable of the path. @throws {@link EngineFault} 404 when the pattern has none of this name
   */
  param(name: string): string {
    const value = this.#params[name];
    if (value === undefined) throw unknownResource();
    return value;
  }

  /** @throws {@link EngineFault} 400 */
  body<Body>(type: z.ZodType<Body>): Body {
    return readBody(this.#bodyText, type, this.#bodyFormat);
  }

  /**
   * A boolean query parameter. Without a value it is true.
   * @throws {@link EngineFault} 400
   */
  flag(name: string, fallback: boolean): boolean {
    const text = this.query.get(name);
    if (text === null) return fallback;
    if (/^(t|true|y|yes|1|)$/i.test(text)) return true;
    if (/^(f|false|n|no|0)$/i.test(text)) return false;
    throw new EngineFault(400, 'Invalid value', `${name}=${text} is not a boolean`);
  }

  get wantsAllContent(): boolean {
    return this.flag('all_content', this.#allContent);
  }
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below the API root; `{name}` is a variable that must be a UUID. */
  readonly path: string;
  readonly run: (call: EngineCall) => WireReply | Promise<WireReply>;
}

export interface RouteMatch {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** Variables of a path; undefined when the path does not match the pattern. */
function matchPath(
  pattern: readonly string[],
  segments: readonly string[],
): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index] ?? '';
    const variable = /^\{(\w+)\}$/.exec(part);
    if (!variable?.[1]) {
      if (part !== segment) return undefined;
      continue;
    }
    const value = decode(segment);
    if (value === undefined || !isUuid(value)) return undefined;
    params[variable[1]] = value.toLowerCase();
  }
  return params;
}

export class Router {
  readonly #entries: readonly { readonly pattern: readonly string[]; readonly route: Route }[];

  constructor(routes: readonly Route[]) {
    this.#entries = routes.map((route) => ({
      pattern: route.path.split('/').filter((part) => part !== ''),
      route,
    }));
  }

  /** @throws {@link EngineFault} 404 for an unknown path, 405 for an unknown method */
  find(method: string, segments: readonly string[]): RouteMatch {
    const matches = this.#entries.flatMap(({ pattern, route }) => {
      const params = matchPath(pattern, segments);
      return params ? [{ route, params }] : [];
    });
    if (matches.length === 0) throw unknownResource();
    const match = matches.find(({ route }) => route.method === method);
    if (!match) throw new EngineFault(405, undefined, '');
    return match;
  }
}
