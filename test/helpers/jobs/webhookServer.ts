/** A receiver of webhooks. */
import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';

export interface HookCall {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface WebhookServer extends AsyncDisposable {
  readonly url: string;
  /** Of the CA, when the server has TLS. */
  readonly caPem: string;
  readonly calls: readonly HookCall[];
}

/** Answers call `index`, counted from 0. */
export type Answer = (response: ServerResponse, index: number) => void;

const OK: Answer = (response) => response.writeHead(204).end();

export async function startWebhookServer(
  answer: Answer = OK,
  { tls = false } = {},
): Promise<WebhookServer> {
  const calls: HookCall[] = [];
  const authority = createLabAuthority();
  const { keyPem: key, certPem: cert } = authority.issue();
  const server: Server = tls ? createTlsServer({ key, cert }) : createServer();
  server.on('request', (request, response) => {
    const { method = '', url: path = '', headers } = request;
    const answered = text(request).then((body) => {
      const index = calls.push({ method, path, headers, body }) - 1;
      answer(response, index);
    });
    answered.catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}/hook`,
    caPem: authority.caPem,
    calls,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
