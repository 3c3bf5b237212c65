import { describe, expect, it } from 'vitest';
import { ByteBudget } from '../../../src/points/nbd/byteBudget.ts';

async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

function recorder(budget: ByteBudget): [string[], (name: string, owner: object) => void] {
  const started: string[] = [];
  return [started, (name, owner) => void budget.take(owner, 1).then(() => void started.push(name))];
}

describe('a byte budget', () => {
  const [greedy, other, third] = [{}, {}, {}];

  it('starts the waiter whose owner holds least, and equal ones in order', async () => {
    const budget = new ByteBudget(3);
    const [started, take] = recorder(budget);
    for (const name of ['g1', 'g2', 'g3', 'g4', 'g5']) take(name, greedy);
    take('o1', other);
    take('o2', other);
    take('t1', third);
    await settled();
    expect(started).toEqual(['g1', 'g2', 'g3']);
    expect(budget.isContended).toBe(true);

    budget.give(greedy, 1);
    budget.give(greedy, 1);
    await settled();
    expect(started.slice(3)).toEqual(['o1', 't1']);
    budget.give(greedy, 1);
    await settled();
    expect(started.slice(5)).toEqual(['g4']);
    for (const owner of [other, third, greedy]) budget.give(owner, 1);
    await settled();
    expect(started.slice(6).toSorted()).toEqual(['g5', 'o2']);
    expect(budget.isContended).toBe(false);
  });

  it('lets more than the limit in when nothing else is in use, and nothing past it', async () => {
    const budget = new ByteBudget(10);
    const started: string[] = [];
    await budget.take(greedy, 5);
    void budget.take(other, 11).then(() => void started.push('large'));
    void budget.take(third, 1).then(() => void started.push('small'));
    await settled();
    expect(started).toEqual([]);

    budget.give(greedy, 5);
    await settled();
    expect(started).toEqual(['large']);
    budget.give(other, 11);
    await settled();
    expect(started).toEqual(['large', 'small']);
  });

  it('gives back what a work took that failed', async () => {
    const budget = new ByteBudget(1);
    await expect(budget.use(greedy, 1, () => Promise.reject(new Error('no luck')))).rejects.toThrow(
      'no luck',
    );
    expect(await budget.use(other, 1, () => Promise.resolve('done'))).toBe('done');
  });
});
