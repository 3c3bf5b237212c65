/** The server of the daemon with a console. */
import type { KeyPair } from '../store/keyPair.ts';
import {
  type ListenAddress,
  startStatusServer,
  type StatusServer,
  type StatusSources,
} from '../jobs/daemon/statusServer.ts';
import { type ConsoleOptions, createConsole } from './console.ts';

export interface ConsoleServerOptions extends Omit<ConsoleOptions, 'isTls'> {
  readonly address: ListenAddress;
  /** Of `/metrics` and `/healthz`. */
  readonly status: StatusSources;
  /** Needed when the address is not of this machine alone. */
  readonly tls?: KeyPair | undefined;
}

/**
 * Starts the server. Its end ends all event streams and connections.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when the address is in use, `TOOL_MISSING`
 */
export async function startConsoleServer(options: ConsoleServerOptions): Promise<StatusServer> {
  const { address, status, tls } = options;
  const console = await createConsole({ ...options, isTls: tls !== undefined });
  const server = await startStatusServer({ address, sources: status, console, tls });
  return {
    port: server.port,
    [Symbol.asyncDispose]: async () => {
      console[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
