/** Keys that one process holds for a time, and renews. */
import type { QueueLink } from './connection.ts';

/** Takes or renews a key. Answers the holder when that is another one. */
const HOLD = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''`;

const RELEASE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return ''`;

/** @returns the other holder of the key; undefined when it is held now. */
export async function holdKey(
  { redis }: Pick<QueueLink, 'redis'>,
  key: string,
  holder: string,
  leaseMs: number,
): Promise<string | undefined> {
  const other = await redis.eval(HOLD, 1, key, holder, leaseMs);
  return typeof other === 'string' && other !== '' ? other : undefined;
}

export async function releaseKey(
  { redis }: Pick<QueueLink, 'redis'>,
  key: string,
  holder: string,
): Promise<void> {
  await redis.eval(RELEASE, 1, key, holder);
}
