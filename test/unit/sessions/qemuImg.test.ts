import { chmodSync, writeFileSync } from 'node:fs';
import { afterEach, expect, test, vi } from 'vitest';
import { convertToQcow2, requireQemuImg } from '../../../src/sessions/restore/qemuImg.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
afterEach(() => {
  vi.unstubAllEnvs();
});

/** Creates a program of that name and makes its folder the whole PATH. */
function installQemuImg(script: string): void {
  writeFileSync(temp.path('qemu-img'), `#!/bin/sh\n${script}\n`);
  chmodSync(temp.path('qemu-img'), 0o755);
  vi.stubEnv('PATH', temp.path());
}

test('a missing qemu-img is told before anything is made', async () => {
  vi.stubEnv('PATH', '');

  await expect(requireQemuImg()).rejects.toMatchObject({ code: 'TOOL_MISSING' });
});

test('a qemu-img that starts is good enough', async () => {
  installQemuImg('exit 0');

  await expect(requireQemuImg()).resolves.toBeUndefined();
});

test('a conversion that fails gives the last line of what qemu-img said', async () => {
  installQemuImg('echo first >&2; echo last >&2; exit 1');

  const converted = convertToQcow2('a', 'b', new AbortController().signal);

  await expect(converted).rejects.toMatchObject({
    code: 'TOOL_FAILED',
    message: expect.stringMatching(/last$/) as string,
  });
});

test('a cancelled conversion is no failure of the tool', async () => {
  installQemuImg('exit 0');

  const converted = convertToQcow2('a', 'b', AbortSignal.abort());

  await expect(converted).rejects.toMatchObject({ code: 'CANCELLED' });
});
