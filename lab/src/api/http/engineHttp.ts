/**
 * HTTP of the engine. It finds the servlet of a path and checks the token before anything else. It
 * sets the headers of every answer, and renders replies and faults.
 * Source: oVirt contract (headers, 401 as HTML, faults, correlation ids, resources of the PKI).
 */
import { randomUUID } from 'node:crypto';
import type { Engine } from '../../state/core.ts';
import { EngineFault } from '../../state/refusals.ts';
import { EngineCall, type Router } from './router.ts';
import type { SsoSessions } from './sso.ts';
import { API_PATH, reply, toJson, type WireReply } from './wire.ts';
import { toXml } from './xml.ts';
import type { LabHttpRequest } from '../../http/server.ts';
import type { LabHttpResponse } from '../../http/response.ts';

const TOKEN_PATH = '/ovirt-engine/sso/oauth/token';
const LOGOUT_PATH = '/ovirt-engine/services/sso-logout';
const PKI_PATH = '/ovirt-engine/services/pki-resource';
const CA_RESOURCES: readonly string[] = ['ca-certificate', 'qemu-ca-certificate'];
const MAX_CORRELATION_ID_CHARS = 36;

function html(
  status: number,
  title: string,
  headers: Readonly<Record<string, string>> = {},
): LabHttpResponse {
  return {
    status,
    headers: { 'content-type': 'text/html;charset=UTF-8', ...headers },
    body: `<html><head><title>${title}</title></head><body>${title}</body></html>`,
  };
}

/** Path below the API root as segments; undefined for a path of another servlet. */
export function apiSegments(path: string): readonly string[] | undefined {
  if (path !== API_PATH && !path.startsWith(`${API_PATH}/`)) return undefined;
  const segments = path
    .slice(API_PATH.length)
    .split('/')
    .filter((part) => part !== '');
  return segments[0] === 'v4' ? segments.slice(1) : segments;
}

function headerOf(request: LabHttpRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The client's id without forbidden characters, cut to 36. A new UUID when nothing is left. */
function correlationIdOf(request: LabHttpRequest): string {
  const wish = headerOf(request, 'correlation-id') ?? request.query.get('correlation_id') ?? '';
  const cleaned = wish.replaceAll(/[^\w-]/g, '').slice(0, MAX_CORRELATION_ID_CHARS);
  return cleaned === '' ? randomUUID() : cleaned;
}

function faultReply(fault: EngineFault): WireReply {
  return reply('fault', { reason: fault.reason, detail: fault.detail }, fault.status);
}

/**
 * XML only for clients that ask for it. A real engine also sends XML when a client asks for
 * nothing.
 */
function wantsXml(request: LabHttpRequest): boolean {
  const accept = headerOf(request, 'accept') ?? '';
  return accept.includes('xml') && !accept.includes('json');
}

function isXmlBody(request: LabHttpRequest): boolean {
  return (headerOf(request, 'content-type') ?? '').includes('xml');
}

/** Renders a reply in the format that the request asks for. No other place chooses a format. */
function render(
  request: LabHttpRequest,
  { status, root, value }: WireReply,
  correlationId: string,
): LabHttpResponse {
  const isXml = wantsXml(request);
  const type = isXml ? 'application/xml' : 'application/json';
  return {
    status,
    headers: { 'content-type': type, 'correlation-id': correlationId },
    body: isXml ? toXml(root, value) : JSON.stringify(toJson(value)),
  };
}

export interface EngineHttpParts {
  readonly engine: Engine;
  readonly sessions: SsoSessions;
  readonly router: Router;
  readonly caPem: string;
}

export class EngineHttp {
  readonly #parts: EngineHttpParts;

  constructor(parts: EngineHttpParts) {
    this.#parts = parts;
  }

  async handle(request: LabHttpRequest): Promise<LabHttpResponse> {
    if (request.path === TOKEN_PATH) return this.#parts.sessions.issue(request);
    if (request.path === LOGOUT_PATH) return this.#parts.sessions.revoke(request);
    if (request.path === PKI_PATH) return this.#servePki(request);
    const segments = apiSegments(request.path);
    if (!segments) return html(404, 'Not Found');
    if (!this.#parts.sessions.admit(request.headers)) {
      return html(401, 'Unauthorized', { 'www-authenticate': 'Basic realm="RESTAPI"' });
    }
    return await this.#serveApi(request, segments);
  }

  #servePki({ query }: LabHttpRequest): LabHttpResponse {
    const format = query.get('format') ?? 'X509-PEM';
    const isKnown =
      CA_RESOURCES.includes(query.get('resource') ?? '') &&
      (format === 'X509-PEM-CA' || format === 'X509-PEM');
    if (!isKnown) return html(400, 'Bad Request');
    return {
      status: 200,
      headers: { 'content-type': 'application/x-x509-ca-cert' },
      body: this.#parts.caPem,
    };
  }

  async #serveApi(request: LabHttpRequest, segments: readonly string[]): Promise<LabHttpResponse> {
    const correlationId = correlationIdOf(request);
    try {
      const answer = await this.#run(request, segments, correlationId);
      return render(request, answer, correlationId);
    } catch (error) {
      if (!(error instanceof EngineFault)) throw error;
      if (error.reason !== undefined) return render(request, faultReply(error), correlationId);
      return { status: error.status, headers: { 'correlation-id': correlationId } };
    }
  }

  async #run(
    request: LabHttpRequest,
    segments: readonly string[],
    correlationId: string,
  ): Promise<WireReply> {
    const version = headerOf(request, 'version');
    if (version !== undefined && version !== '4') {
      throw new EngineFault(400, 'Unsupported version', `version ${version} is not supported`);
    }
    const { route, params } = this.#parts.router.find(request.method, segments);
    const call = new EngineCall(this.#parts.engine, {
      params,
      query: request.query,
      correlationId,
      allContent: headerOf(request, 'all-content') === 'true',
      bodyText: request.body.toString('utf8'),
      bodyFormat: isXmlBody(request) ? 'XML' : 'JSON',
    });
    return await route.run(call);
  }
}
