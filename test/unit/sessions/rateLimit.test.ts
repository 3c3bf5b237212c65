/** The limit of bytes in a second. */
import { expect, it, vi } from 'vitest';
import { createRateLimit } from '../../../src/sessions/shared/rateLimit.ts';

it('keeps a wait that is longer than a timer can be', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  const stop = new AbortController();
  const pass = createRateLimit(1, stop.signal);
  await pass(4 * 1024 * 1024);
  const last = pass(1);
  last.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 20));
  stop.abort(new Error('stopped by the test'));

  await expect(last).rejects.toMatchObject({ name: 'AbortError' });
  expect(warned).not.toHaveBeenCalled();
  warned.mockRestore();
});

it('lets many callers wait with one signal, and each may stop its own wait', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  const session = new AbortController();
  const pass = createRateLimit(1, new AbortController().signal);
  await pass(1024);
  const waits = Array.from({ length: 20 }, () => pass(1, session.signal));
  session.abort(new Error('stopped by the test'));
  const ended = await Promise.allSettled(waits);

  expect(new Set(ended.map(({ status }) => status))).toEqual(new Set(['rejected']));
  expect(warned).not.toHaveBeenCalled();
  warned.mockRestore();
});
