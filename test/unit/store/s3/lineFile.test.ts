/** Lines of a journal in a bucket. */
import { describe, expect, it } from 'vitest';
import { ObjectLines } from '../../../../src/store/s3/lineFile.ts';

/** Keeps each write until the test lets it go. */
class Writes {
  readonly contents: string[] = [];
  failure: Error | undefined;
  #release: (() => void)[] = [];

  readonly write = async (content: string): Promise<void> => {
    this.contents.push(content);
    await new Promise<void>((resolve) => this.#release.push(resolve));
    if (this.failure) throw this.failure;
  };

  async letGo(): Promise<void> {
    await new Promise(setImmediate);
    for (const release of this.#release.splice(0)) release();
    await new Promise(setImmediate);
  }
}

describe('ObjectLines', () => {
  it('writes all lines for an urgent one, and lets lines share a write', async () => {
    const writes = new Writes();
    const lines = new ObjectLines(['a'], writes.write);
    await lines.append('b', false);
    expect(writes.contents).toEqual([]);

    const urgent = ['c', 'd', 'e'].map((line) => lines.append(line, true));
    await writes.letGo();
    await urgent[0];
    await writes.letGo();
    await Promise.all(urgent);

    expect(writes.contents).toEqual(['abcde'.slice(0, 3), 'abcde']);
  });

  it('reports a failed write to those who wait, and writes their lines later', async () => {
    const writes = new Writes();
    const lines = new ObjectLines([], writes.write);
    writes.failure = new Error('no answer');
    const first = lines.append('a', true);
    const failed = expect(first).rejects.toThrow('no answer');
    await writes.letGo();
    await failed;
    writes.failure = undefined;

    const second = lines.append('b', true);
    await writes.letGo();
    await second;

    expect(writes.contents).toEqual(['a', 'ab']);
  });

  it('writes the rest when it is closed, unless the object was deleted', async () => {
    const writes = new Writes();
    const lines = new ObjectLines([], writes.write);
    await lines.append('a', false);
    const closed = lines.close();
    await writes.letGo();
    await closed;
    await lines.close();
    expect(writes.contents).toEqual(['a']);

    await lines.append('b', false);
    await lines.drop();
    await lines.close();

    expect(writes.contents).toEqual(['a']);
  });
});
