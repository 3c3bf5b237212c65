/** Webhooks: a signed JSON document by POST. docs/monitoring.md tells how a receiver checks it. */
import { createHmac } from 'node:crypto';
import type { Agent } from 'undici';
import { plainReason } from '../../core/errorWords.ts';
import { isLoopback } from '../../core/loopback.ts';
import { pause } from '../../core/retry.ts';
import { createAgent } from '../../ovirt/http.ts';
import { describeFailure } from '../../ovirt/networkFailure.ts';
import type { WebhookConfig } from '../jobFile.ts';
import { type DeliveryContext, DeliveryFailure, retryDelivery } from './delivery.ts';
import type { Notice } from './notice.ts';

/** A server that asks for a longer pause is not waited for. */
const MAX_PAUSE_MS = 30_000;
const TOO_MANY_REQUESTS = 429;
const SERVER_ERROR = 500;

/** Origin of the URL. Its path may be a secret. */
export function webhookServer({ url }: WebhookConfig): string {
  return URL.canParse(url) ? new URL(url).origin : 'an invalid URL';
}

/** @throws {@link DeliveryFailure} for a URL that would send the document in the clear */
function checkedUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isSafe =
    url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  if (url && isSafe && url.username === '' && url.password === '') return url;
  throw new DeliveryFailure('its URL cannot be used', {
    hint: 'Use https without a user name, or http for this machine itself.',
  });
}

/**
 * Value of the header `X-Ovirt-Cbt-Signature`: `t=SECONDS,v1=HEX`. `v1` is the HMAC-SHA-256 of
 * `SECONDS.BODY`.
 */
export function signatureOf(secret: string, body: string, now: Date): string {
  const seconds = Math.floor(now.getTime() / 1000);
  const digest = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${digest}`;
}

interface Answer {
  readonly status: number;
  /** How long the server asks to wait. */
  readonly pauseMs: number;
}

/** Milliseconds that a header `Retry-After` asks for, as seconds or as a date. Otherwise 0. */
export function retryAfterMs(header: string | undefined, nowMs: number): number {
  const text = header ?? '';
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? 0 : Math.max(0, ms);
}

/** @throws {@link DeliveryFailure} unless the answer is 2xx */
function checkAnswer({ status, pauseMs }: Answer): void {
  if (status >= 200 && status < 300) return;
  if (status >= 300 && status < 400) {
    throw new DeliveryFailure(`it answers with a redirect (status ${status})`, {
      hint: 'Redirects are not followed: set the final URL in the job file.',
    });
  }
  const isBusy = status === TOO_MANY_REQUESTS || status >= SERVER_ERROR;
  const isPassing = isBusy && pauseMs <= MAX_PAUSE_MS;
  throw new DeliveryFailure(`it answers with status ${status}`, { isPassing });
}

function networkFailure(error: unknown): DeliveryFailure {
  const { reason, isTls } = describeFailure(error);
  if (!isTls) return new DeliveryFailure(plainReason(reason), { isPassing: true });
  return new DeliveryFailure(`its certificate is not trusted (${reason})`, {
    hint: 'Set the caFile of the webhook, or correct the certificate of the server.',
  });
}

interface Post {
  readonly url: URL;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** @throws {@link DeliveryFailure}; the reason of the signal when it is aborted */
async function post(
  agent: Agent,
  { url, body, headers, timeoutMs, signal }: Post,
): Promise<Answer> {
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const answer = await agent.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: 'POST',
      headers,
      body,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    // The status says all. The rest of the answer is not read.
    answer.body.on('error', () => {}).destroy();
    const retryAfter = answer.headers['retry-after']?.toString();
    return { status: answer.statusCode, pauseMs: retryAfterMs(retryAfter, Date.now()) };
  } catch (error) {
    signal?.throwIfAborted();
    if (timeout.aborted) throw new DeliveryFailure('no answer in time', { isPassing: true });
    throw networkFailure(error);
  }
}

/**
 * Sends the payload of a notice. Status 429 and 5xx and faults of the network are tried again.
 *
 * @throws {@link DeliveryFailure}; errors of files of the receiver
 */
export async function callWebhook(
  config: WebhookConfig,
  { payload }: Notice,
  context: DeliveryContext,
): Promise<void> {
  const { secret, caFile, timeoutMs } = config;
  const { signal } = context;
  const url = checkedUrl(config.url);
  const key = secret && (await context.readSecret(secret));
  const caPem = caFile === undefined ? undefined : await context.readCa(caFile);
  const body = JSON.stringify(payload);
  const agent = createAgent({ caPem, connectMs: timeoutMs, connections: 1, bodyMs: timeoutMs });
  let pauseMs = 0;
  try {
    await retryDelivery(context, async () => {
      await pause(pauseMs, signal);
      const headers = {
        'content-type': 'application/json',
        'user-agent': 'ovirt-cbt',
        'x-ovirt-cbt-delivery': payload.id,
        ...(key === undefined
          ? {}
          : { 'x-ovirt-cbt-signature': signatureOf(key, body, new Date()) }),
      };
      const answer = await post(agent, { url, body, headers, timeoutMs, signal });
      ({ pauseMs } = answer);
      checkAnswer(answer);
    });
  } finally {
    await agent.destroy();
  }
}
