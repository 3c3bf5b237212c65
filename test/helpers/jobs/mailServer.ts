/** A mail server on this machine, which keeps what it gets. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { type ParsedMail, simpleParser } from 'mailparser';
import {
  SMTPServer,
  type SMTPServerDataStream,
  type SMTPServerOptions,
  type SMTPServerSession,
} from 'smtp-server';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';

export interface MailServer extends AsyncDisposable {
  readonly port: number;
  readonly caPem: string;
  readonly mails: readonly ReceivedMail[];
  /** Connections so far. */
  readonly connections: () => number;
}

export interface ReceivedMail {
  readonly isSecure: boolean;
  readonly user: string | undefined;
  readonly from: string;
  readonly to: readonly string[];
  readonly raw: string;
  readonly parsed: ParsedMail;
}

/** An answer with a code of SMTP. */
export function smtpError(responseCode: number, text: string): Error {
  return Object.assign(new Error(text), { responseCode });
}

async function receive(
  stream: SMTPServerDataStream,
  { envelope, secure, user }: SMTPServerSession,
): Promise<ReceivedMail> {
  const raw = await buffer(stream);
  const { mailFrom, rcptTo } = envelope;
  return {
    isSecure: secure,
    user: user === undefined ? undefined : String(user),
    from: mailFrom === false ? '' : mailFrom.address,
    to: rcptTo.map(({ address }) => address),
    raw: raw.toString('utf8'),
    parsed: await simpleParser(raw),
  };
}

export async function startMailServer(
  options: SMTPServerOptions = {},
  host = '127.0.0.1',
): Promise<MailServer> {
  const mails: ReceivedMail[] = [];
  let connections = 0;
  const authority = createLabAuthority();
  const { keyPem: key, certPem: cert } = authority.issue();
  const server = new SMTPServer({
    key,
    cert,
    authOptional: true,
    logger: false,
    disableReverseLookup: true,
    onConnect: (_session, callback) => {
      connections++;
      callback();
    },
    onData: (stream, session, callback) => {
      receive(stream, session).then((mail) => {
        mails.push(mail);
        callback();
      }, callback);
    },
    ...options,
  });
  // Clients that refuse the certificate cut the connection.
  server.on('error', () => {});
  const listening = server.listen(0, host);
  await once(listening, 'listening');
  return {
    port: (listening.address() as AddressInfo).port,
    caPem: authority.caPem,
    mails,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => server.close(resolve));
    },
  };
}
