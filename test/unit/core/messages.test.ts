import { expect, test } from 'vitest';
import { MESSAGE_CODES, sessionMessage } from '../../../src/core/messages.ts';

test('fills every field of a text', () => {
  const message = sessionMessage('CBT-106', { alias: 'data', id: 'd1', rp: 7 });

  expect(message.text).toBe(
    'Disk data (d1) was not part of restore point 7; it gets a full image inside this increment.',
  );
});

test('leaves a field without a value in braces', () => {
  expect(sessionMessage('CBT-106', { alias: 'data' }).text).toContain('Disk data ({id})');
});

test('does not fill a field from inside a value', () => {
  const message = sessionMessage('CBT-106', { alias: '{rp}', id: 'd1', rp: 'RP' });

  expect(message.text).toContain('Disk {rp} (d1)');
});

test('has no code twice', () => {
  expect(new Set(MESSAGE_CODES).size).toBe(MESSAGE_CODES.length);
});

test.each(MESSAGE_CODES)('%s has a text and one resolution', (code) => {
  const message = sessionMessage(code);

  expect(message).toMatchObject({ code });
  expect([message.text.length, message.resolution.length].every((length) => length > 0)).toBe(true);
});

test('a message that asks for nothing is only information', () => {
  const messages = MESSAGE_CODES.map((code) => sessionMessage(code));

  const quiet = messages.filter(({ resolution }) => resolution === 'None.');

  expect(quiet.map(({ level }) => level)).toEqual(quiet.map(() => 'info'));
});
