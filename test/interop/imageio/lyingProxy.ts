/**
 * A proxy that ends TLS before the daemon and falsifies its lists of extents. Everything else
 * passes unchanged. The real daemon never sends wrong lists, so the tests of such lists need this
 * proxy.
 */
import { createServer, request, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import type { LabAuthority } from '../../../lab/src/dataPlane.ts';
import { closeServer, listenLocally } from '../servers.ts';

export type WireExtent = Readonly<Record<string, number | boolean>>;
export type Lie = (extents: WireExtent[]) => WireExtent[];

export class LyingProxy {
  readonly #server: Server;
  readonly #target: string;
  readonly #ca: string;
  readonly #lie: Lie;
  #port = 0;

  private constructor(authority: LabAuthority, target: string, lie: Lie) {
    const { keyPem: key, certPem: cert } = authority.issue();
    this.#server = createServer({ key, cert }, (asked, answer) => this.#pass(asked, answer));
    this.#target = target;
    this.#ca = authority.caPem;
    this.#lie = lie;
  }

  static async start(authority: LabAuthority, target: string, lie: Lie): Promise<LyingProxy> {
    const proxy = new LyingProxy(authority, target, lie);
    proxy.#port = await listenLocally(proxy.#server);
    return proxy;
  }

  get origin(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await closeServer(this.#server);
  }

  #pass(asked: IncomingMessage, answer: ServerResponse): void {
    const { method, headers, url = '' } = asked;
    const options = { method, headers, ca: this.#ca, agent: false };
    const onward = request(`${this.#target}${url}`, options, (original) => {
      this.#answer(url, original, answer).catch(() => answer.destroy());
    });
    onward.on('error', () => answer.destroy());
    asked.pipe(onward);
  }

  async #answer(url: string, original: IncomingMessage, answer: ServerResponse): Promise<void> {
    const status = original.statusCode ?? 500;
    if (!url.includes('/extents') || status !== 200) {
      answer.writeHead(status, original.headers);
      original.pipe(answer);
      return;
    }
    const body = Buffer.from(JSON.stringify(this.#lie((await json(original)) as WireExtent[])));
    answer.writeHead(status, { ...original.headers, 'content-length': body.length });
    answer.end(body);
  }
}
