/** Without the optional package nodemailer, the other ways of a receiver still work. */
import { expect, it, vi } from 'vitest';
import { tellRun } from '../../../helpers/jobs/notifications.ts';
import { mailTo, receiverOf } from '../../../helpers/jobs/runs.ts';

vi.mock('nodemailer', () => {
  throw new Error('not installed');
});

it('tells which package is missing', async () => {
  const mail = mailTo({ port: 1 });
  const command = { command: ['true'], timeoutMs: 10_000 };

  const { sent, failed, messages } = await tellRun([receiverOf({ mail, command })]);

  expect({ sent, failed }).toEqual({ sent: 1, failed: 1 });
  expect(messages[0]).toMatchObject({
    code: 'NTF-901',
    text: expect.stringContaining('the package nodemailer is not installed'),
    resolution: expect.stringContaining('npm install nodemailer'),
  });
});
