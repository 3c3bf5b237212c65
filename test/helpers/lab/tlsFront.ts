/**
 * A TLS server with its own certificate in front of an engine, as administrators put one on port
 * 443.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';
import type { Lab } from '../../../lab/src/index.ts';

export interface TlsFront extends AsyncDisposable {
  readonly url: string;
  /** Signs the certificate of the front, not that of the engine. */
  readonly caPem: string;
}

export async function startTlsFront(lab: Lab): Promise<TlsFront> {
  const authority = createLabAuthority();
  const { keyPem: key, certPem: cert } = authority.issue();
  const { port, pathname } = new URL(lab.url);
  const sockets = new Set<TLSSocket>();
  const server = createServer({ key, cert }, (socket) => {
    const behind = connect({ host: '127.0.0.1', port: Number(port), ca: lab.caPem });
    for (const one of [socket, behind]) {
      sockets.add(one);
      one.on('error', () => one.destroy());
    }
    socket.pipe(behind).pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    caPem: authority.caPem,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
