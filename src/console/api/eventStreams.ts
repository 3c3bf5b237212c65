/** Server-sent events: what changes, to all clients that look. */
import type { ServerResponse } from 'node:http';
import type { ConsoleEvent, ConsoleSources } from '../contract.ts';
import type { Login } from '../access/logins.ts';
import { ApiError } from '../problems.ts';

/** Bytes that may wait for a client. One with more is cut, connects anew, and is up to date. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** A client that took nothing for so many signs of life is cut. */
const MAX_STUCK_BEATS = 4;
/** How long a browser waits before it connects anew. */
const RETRY_MS = 3000;
/** Events that a client has not taken so long after the end are lost. */
const END_MS = 10_000;

export interface EventStreamsOptions {
  readonly sources: ConsoleSources;
  readonly productVersion: string;
  /** Clients at once. */
  readonly maxStreams: number;
  /** Between two signs of life. */
  readonly heartbeatMs: number;
  readonly isOpen: (login: Login) => boolean;
}

interface Client {
  readonly response: ServerResponse;
  readonly login: Login;
  /** So many bytes waited for the client at the last sign of life. */
  waitingBytes: number;
  /** Signs of life since it took something. */
  stuckBeats: number;
}

/** Data is JSON, so it has no line break. */
function eventText(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

export class EventStreams implements Disposable {
  readonly #options: EventStreamsOptions;
  readonly #clients = new Set<Client>();
  #unsubscribe: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: EventStreamsOptions) {
    this.#options = options;
  }

  /**
   * Answers with events until the client goes, its login ends, or the console does.
   *
   * @throws {@link ApiError} `API_TOO_MANY_STREAMS`
   */
  open(response: ServerResponse, login: Login): void {
    const { maxStreams, productVersion, sources, heartbeatMs } = this.#options;
    if (this.#clients.size >= maxStreams) {
      const text = `${maxStreams} clients get events already`;
      throw new ApiError('API_TOO_MANY_STREAMS', text, 'close other windows, then try again', {
        'retry-after': '10',
      });
    }
    // All of this is one turn of the event loop, so no change comes between.
    const texts = [
      `retry: ${RETRY_MS}\n${eventText('hello', { productVersion, heartbeatMs })}`,
      ...sources.sessions().map((session) => eventText('session', { type: 'session', session })),
      ...sources.tasks().map((task) => eventText('task', { type: 'task', task })),
    ];
    const client = { response, login, waitingBytes: 0, stuckBeats: 0 };
    // The server ends connections that are quiet. Signs of life tell of those that are gone.
    response.socket?.setTimeout(0);
    response.on('close', () => this.#remove(client));
    response.on('error', () => this.#remove(client));
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    response.write(texts.join(''));
    this.#add(client);
  }

  /** Ends the streams of logins that have ended. */
  closeEnded(): void {
    for (const client of this.#clients) {
      if (!this.#options.isOpen(client.login)) this.#end(client);
    }
  }

  /** Ends all streams. */
  [Symbol.dispose](): void {
    for (const client of this.#clients) this.#end(client);
  }

  #end(client: Client): void {
    this.#remove(client);
    client.response.socket?.setTimeout(END_MS);
    client.response.end();
  }

  #add(client: Client): void {
    const { sources, heartbeatMs } = this.#options;
    this.#clients.add(client);
    this.#unsubscribe ??= sources.subscribe((event) => this.#send(event));
    this.#timer ??= setInterval(() => this.#beat(), heartbeatMs).unref();
  }

  #remove(client: Client): void {
    this.#clients.delete(client);
    this.#stopWhenUnused();
  }

  #stopWhenUnused(): void {
    if (this.#clients.size > 0) return;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #send(event: ConsoleEvent): void {
    const text = eventText(event.type, event);
    for (const { response } of this.#clients) {
      if (response.writableLength > MAX_WAITING_BYTES) response.destroy();
      else response.write(text);
    }
  }

  #beat(): void {
    this.closeEnded();
    for (const client of this.#clients) {
      const { response, waitingBytes, stuckBeats } = client;
      client.waitingBytes = response.writableLength;
      const isStuck = waitingBytes > 0 && client.waitingBytes >= waitingBytes;
      client.stuckBeats = isStuck ? stuckBeats + 1 : 0;
      if (client.stuckBeats >= MAX_STUCK_BEATS) response.destroy();
      else response.write(eventText('heartbeat', {}));
    }
  }
}
