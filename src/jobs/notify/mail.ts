/** Mails by SMTP. The package nodemailer is loaded when a mail is sent. */
import { rootCertificates } from 'node:tls';
import type { NodemailerError, SendMailOptions, SMTPTransportOptions } from 'nodemailer';
import { plainReason } from '../../core/errorWords.ts';
import { isLoopback } from '../../core/loopback.ts';
import { printable } from '../../core/namePattern.ts';
import { formatDuration } from '../../core/units.ts';
import type { MailConfig } from '../jobFile.ts';
import { type DeliveryContext, DeliveryFailure, retryDelivery } from './delivery.ts';
import type { MailTexts, Notice } from './notice.ts';

const CONNECT_MS = 10_000;
/** A server may scan a mail for a long time before it answers. */
const IDLE_MS = 60_000;
/** A server that answers little by little is never idle. */
const WHOLE_MS = 10 * 60_000;
const MAX_ANSWER_CHARACTERS = 200;
/** Codes of nodemailer for faults of the network. */
const NETWORK_CODES = new Set(['ECONNECTION', 'EDNS', 'ESOCKET', 'ETIMEDOUT', 'EPROTOCOL']);
const TLS_CODES =
  /^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH)/;

export function mailServer({ host, port }: MailConfig): string {
  return `${host}:${port}`;
}

async function loadNodemailer(): Promise<typeof import('nodemailer')> {
  try {
    return await import('nodemailer');
  } catch {
    throw new DeliveryFailure('the package nodemailer is not installed', {
      hint: 'Run "npm install nodemailer".',
    });
  }
}

/** @throws {@link DeliveryFailure} for a password that would be sent in the clear */
async function loginOf(
  { security, host, username, password }: MailConfig,
  context: DeliveryContext,
): Promise<Pick<SMTPTransportOptions, 'auth' | 'forceAuth'>> {
  if (username === undefined) return {};
  if (security === 'none' && !isLoopback(host)) {
    throw new DeliveryFailure('the login would be sent without TLS', {
      hint: 'Set the security of the mail to tls or starttls.',
    });
  }
  const pass = password ? await context.readSecret(password) : '';
  return { auth: { user: username, pass }, forceAuth: true };
}

async function transportOptions(
  config: MailConfig,
  context: DeliveryContext,
): Promise<SMTPTransportOptions> {
  const { host, port, security, caFile } = config;
  const ca = caFile === undefined ? [] : [await context.readCa(caFile)];
  return {
    host,
    port,
    secure: security === 'tls',
    requireTLS: security === 'starttls',
    ignoreTLS: security === 'none',
    // Overrides NODE_TLS_REJECT_UNAUTHORIZED.
    tls: { rejectUnauthorized: true, minVersion: 'TLSv1.2', ca: [...rootCertificates, ...ca] },
    ...(await loginOf(config, context)),
    connectionTimeout: CONNECT_MS,
    greetingTimeout: CONNECT_MS,
    socketTimeout: IDLE_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  };
}

/** A report that cannot be shown must not keep people from being told. */
async function textsOf(notice: Notice, { jobName, logger }: DeliveryContext): Promise<MailTexts> {
  try {
    return await notice.mailTexts();
  } catch (error) {
    logger.error({ err: error }, 'texts of a mail');
    const note = `The report could not be shown here. "ovirt-cbt history --job ${jobName}" tells more.`;
    return { text: `${notice.payload.text}\n\n${note}` };
  }
}

/** Each try has the same message id, so a mail program shows a mail that came twice once. */
async function mailOf(
  config: MailConfig,
  notice: Notice,
  context: DeliveryContext,
): Promise<SendMailOptions> {
  const { payload } = notice;
  const { text, html, page } = await textsOf(notice, context);
  const file = page && {
    filename: page.fileName,
    content: page.html,
    contentType: 'text/html; charset=utf-8',
  };
  return {
    from: config.from,
    to: [...config.to],
    subject: `[ovirt-cbt] ${payload.text}`,
    messageId: `<${payload.id}@ovirt-cbt>`,
    // Replies of people who are away would go to the sender.
    headers: { 'Auto-Submitted': 'auto-generated' },
    text: `${text}\n`,
    ...(html === undefined ? {} : { html }),
    ...(file ? { attachments: [file] } : {}),
  };
}

/** The answer to a login may repeat what was sent, so it is not shown. */
function answerOf({ command = '', response, responseCode }: NodemailerError): string {
  const isLogin = command.startsWith('AUTH');
  if (isLogin) return `the server refuses the login (${responseCode ?? 'no code'})`;
  const text = printable((response ?? '').replaceAll(/\s+/g, ' ')).slice(0, MAX_ANSWER_CHARACTERS);
  return `the server answers "${text}"`;
}

function mailFailure(cause: unknown): DeliveryFailure {
  const error = cause as NodemailerError;
  const { code = '', originalCode = '', responseCode, permanent } = error;
  if (TLS_CODES.test(originalCode)) {
    return new DeliveryFailure(`its certificate is not trusted (${originalCode})`, {
      hint: 'Set the caFile of the mail, or correct the certificate of the server.',
    });
  }
  if (code === 'ETLS') {
    return new DeliveryFailure('the server offers no TLS by STARTTLS', {
      hint: 'Set the security of the mail to tls, or switch STARTTLS on at the server.',
    });
  }
  if (responseCode !== undefined) {
    return new DeliveryFailure(answerOf(error), { isPassing: permanent === false });
  }
  const isPassing = NETWORK_CODES.has(code);
  const reason = plainReason(originalCode || code || error.name);
  return new DeliveryFailure(reason, { isPassing });
}

/**
 * Sends a mail to all addresses of the receiver. Faults of the network and temporary answers of the
 * server are tried again.
 *
 * @returns the addresses that the server refused, while it took others.
 * @throws {@link DeliveryFailure}; errors of files of the receiver
 */
export async function sendMail(
  config: MailConfig,
  notice: Notice,
  context: DeliveryContext,
): Promise<readonly string[]> {
  const { createTransport } = await loadNodemailer();
  const options = await transportOptions(config, context);
  const mail = await mailOf(config, notice, context);
  const { signal, mailLimitMs = WHOLE_MS } = context;
  return await retryDelivery(context, async () => {
    const transport = createTransport(options);
    const limit = AbortSignal.timeout(mailLimitMs);
    const either = signal ? AbortSignal.any([signal, limit]) : limit;
    try {
      const { rejected } = await transport.sendMail({ ...mail, signal: either });
      return rejected;
    } catch (error) {
      signal?.throwIfAborted();
      if (limit.aborted) {
        const span = formatDuration(mailLimitMs);
        throw new DeliveryFailure(`the server did not take the mail within ${span}`);
      }
      throw mailFailure(error);
    } finally {
      transport.close();
    }
  });
}
