/** A client of the console's API, as a script would be: a token, JSON and an event stream. */
import type { ConsoleEvent, TaskRequest, TaskRow } from '../../../src/console/contract.ts';

/** JSON of the API, which the tests assert on. */
// oxlint-disable-next-line typescript/no-explicit-any
type Json = any;

export interface ApiAnswer {
  readonly status: number;
  readonly json: Json;
  readonly text: string;
}

type EventOf<Type extends ConsoleEvent['type']> = Extract<ConsoleEvent, { type: Type }>;

/** An open event stream. It keeps all events. */
export class EventWatch {
  readonly events: ConsoleEvent[] = [];
  /** Resolved when the server has greeted: later events are not missed. */
  readonly ready: Promise<void>;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  #wake: () => void = () => {};
  #greeted: () => void = () => {};
  #isOpen = true;

  constructor(url: string, token: string) {
    this.ready = new Promise((resolve) => {
      this.#greeted = resolve;
    });
    this.#ended = this.#read(url, token)
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) throw error;
      })
      .finally(() => {
        this.#isOpen = false;
        this.#wake();
      });
  }

  /** The first event of a type that fits; of those that came before, too. */
  async until<Type extends ConsoleEvent['type']>(
    type: Type,
    fits: (event: EventOf<Type>) => boolean = () => true,
  ): Promise<EventOf<Type>> {
    for (let k = 0; ; k++) {
      while (k >= this.events.length) {
        if (!this.#isOpen) throw new Error(`no such event: ${type}`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      const event = this.events[k];
      if (event?.type === type && fits(event as EventOf<Type>)) return event as EventOf<Type>;
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async #read(url: string, token: string): Promise<void> {
    const headers = { authorization: `Bearer ${token}` };
    const { body } = await fetch(url, { headers, signal: this.#stop.signal });
    const decoder = new TextDecoder();
    let rest = '';
    for await (const bytes of body as ReadableStream<Uint8Array>) {
      const parts = `${rest}${decoder.decode(bytes, { stream: true })}`.split('\n\n');
      rest = parts.pop() ?? '';
      for (const part of parts) this.#take(part);
    }
  }

  #take(part: string): void {
    this.#greeted();
    const data = /^data: ?(.*)$/m.exec(part)?.[1];
    const event = data === undefined ? undefined : (JSON.parse(data) as ConsoleEvent);
    if (event?.type === undefined) return;
    this.events.push(event);
    this.#wake();
  }
}

export class ConsoleClient {
  readonly #base: string;
  readonly #token: string;

  /** @param origin - such as `http://127.0.0.1:8484`. */
  constructor(origin: string, token: string) {
    this.#base = `${origin}/api/v1`;
    this.#token = token;
  }

  async send(method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    const response = await fetch(`${this.#base}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') ?? false;
    return { status: response.status, text, json: isJson ? (JSON.parse(text) as Json) : undefined };
  }

  async get(path: string): Promise<Json> {
    const { status, json, text } = await this.send('GET', path);
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${text}`);
    return json as Json;
  }

  async watch(): Promise<EventWatch> {
    const watch = new EventWatch(`${this.#base}/events`, this.#token);
    await watch.ready;
    return watch;
  }

  /** @returns id of the run. */
  async startRun(job: string, only?: readonly string[]): Promise<string> {
    const { status, json, text } = await this.send('POST', `/jobs/${job}/runs`, only && { only });
    if (status >= 300) throw new Error(`run of ${job}: ${status} ${text}`);
    return json.runId as string;
  }

  async startTask(request: TaskRequest): Promise<TaskRow> {
    const { status, json, text } = await this.send('POST', '/tasks', request);
    if (status >= 300) throw new Error(`task ${request.type}: ${status} ${text}`);
    return json as TaskRow;
  }

  /** Starts a task, and waits for its end. */
  async doTask(request: TaskRequest): Promise<TaskRow> {
    const watch = await this.watch();
    try {
      const { taskId } = await this.startTask(request);
      const isEnded = (task: TaskRow): boolean =>
        task.taskId === taskId && task.state !== 'running';
      const { task } = await watch.until('task', (event) => isEnded(event.task));
      return task;
    } finally {
      await watch.close();
    }
  }
}
