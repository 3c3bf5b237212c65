/** Plain words for the codes of the operating system, of TLS and of the HTTP library. */

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EADDRINUSE: 'the port is in use',
  EAI_AGAIN: 'the name server does not answer',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection lost',
  EHOSTUNREACH: 'no route to the host',
  EIO: 'input/output error',
  EISDIR: 'is a folder',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ENETUNREACH: 'no route to the network',
  ENOENT: 'does not exist',
  ENOTDIR: 'a part of the path is not a folder',
  ENOTFOUND: 'host name not found',
  EPERM: 'not permitted',
  EPIPE: 'connection closed',
  EROFS: 'the file system is read-only',
  ESTALE: 'stale file handle',
  ETIMEDOUT: 'timed out',
  UND_ERR_BODY_TIMEOUT: 'the answer stopped',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'no answer in time',
  UND_ERR_SOCKET: 'connection lost',
};

/** A code with its words: `connection refused (ECONNREFUSED)`. Unknown codes stay as they are. */
export function plainReason(code: string): string {
  const words = WORDS[code];
  return words === undefined ? code : `${words} (${code})`;
}
