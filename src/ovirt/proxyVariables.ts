/** Variables that name a proxy for other programs. This product connects directly. */

const VARIABLES = [
  'https_proxy',
  'HTTPS_PROXY',
  'http_proxy',
  'HTTP_PROXY',
  'all_proxy',
  'ALL_PROXY',
];

/** End of a hint for a server that cannot be reached; empty when no proxy variable is set. */
export function proxyHint(environment: NodeJS.ProcessEnv = process.env): string {
  const set = VARIABLES.filter((name) => environment[name]);
  if (set.length === 0) return '';
  return `; proxies are not used (${set.join(', ')} ignored), so the server must be reachable directly`;
}
