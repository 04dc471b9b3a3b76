// rate-limiter-flexible: limiters of two processes, each with its own router, count together.

import Redis from 'ioredis';
import { BurstyRateLimiter, RateLimiterMemory, RateLimiterRedis, RateLimiterRes, RateLimiterUnion }
  from 'rate-limiter-flexible';
import { createClient } from 'redis';
import { done, equal, holds, newPrefix, range, sum, until } from '../checks.mjs';
import { answerAs, args, isPart, Part } from '../parts.mjs';

async function connect(library, host, port) {
  if (library === 'ioredis') {
    return { storeClient: new Redis(Number(port), host) };
  }
  const storeClient = createClient({ url: `redis://${host}:${port}` });
  await storeClient.connect();
  return { storeClient, useRedisPackage: true };
}

// [consumed, remaining] of a request that was let through, false of one that was not.
async function outcome(promise) {
  try {
    const got = await promise;
    return [got.consumedPoints, got.remainingPoints];
  } catch (got) {
    if (!(got instanceof RateLimiterRes)) {
      throw got;
    }
    return false;
  }
}

async function limit(library, host, port, keyPrefix) {
  const base = { ...await connect(library, host, port), keyPrefix };
  const make = (name, options) => new RateLimiterRedis({
    ...base, keyPrefix: `${keyPrefix}${name}`, ...options });
  const slow = make('slow', { points: 5, duration: 1 });
  const limiters = {
    wide: make('wide', { points: 100, duration: 60 }),
    short: make('short', { points: 2, duration: 1 }),
    block: make('block', { points: 3, duration: 60, blockDuration: 2 }),
    forever: make('forever', { points: 10, duration: 0 }),
    bursty: new BurstyRateLimiter(slow, make('burst', { points: 10, duration: 30 })),
    even: make('even', { points: 4, duration: 2, execEvenly: true }),
  };
  limiters.union = new RateLimiterUnion(limiters.short, make('day', { points: 3, duration: 600 }));
  answerAs({
    ready: () => true,
    consume: (name, key, points) => outcome(limiters[name].consume(key, points)),
    storm: (name, key, count) => Promise.all(range(count).map(
      () => outcome(limiters[name].consume(key)))),
    unite: async (key) => {
      try {
        return Object.keys(await limiters.union.consume(key)).length;
      } catch (got) {
        return false;
      }
    },
    spread: async (key) => {
      const began = Date.now();
      await Promise.all(range(3).map(() => limiters.even.consume(key)));
      return Date.now() - began;
    },
    get: async (name, key) => {
      const got = await limiters[name].get(key);
      return got && [got.consumedPoints, got.remainingPoints, got.msBeforeNext];
    },
    penalty: async (name, key, by) => (await limiters[name].penalty(key, by)).consumedPoints,
    reward: async (name, key, by) => (await limiters[name].reward(key, by)).consumedPoints,
    set: (name, key, points, seconds) => limiters[name].set(key, points, seconds).then(() => true),
    block: (name, key, seconds) => limiters[name].block(key, seconds).then(() => true),
    delete: (name, key) => limiters[name].delete(key),
  });
}

async function exactCount([one, two]) {
  const got = (await Promise.all([one.ask('storm', 'wide', 'a', 90),
    two.ask('storm', 'wide', 'a', 90)])).flat();
  const passed = got.filter(Boolean).map(([consumed]) => consumed).sort((a, b) => a - b);
  equal('exactly so many, each number once', passed, range(100).map((i) => i + 1));
  equal('seen from both', await two.ask('consume', 'wide', 'a', 1), false);
  const many = await Promise.all(range(30).map((i) => [one, two][i % 2].ask('consume', 'wide',
    `k${i % 10}`, 2)));
  equal('keys do not count for each other', sum(many.map(([consumed]) => consumed)),
    10 * (2 + 4 + 6));
}

async function windows([one, two]) {
  const key = newPrefix('w');
  equal('first', await one.ask('consume', 'short', key, 1), [1, 1]);
  equal('second', await two.ask('consume', 'short', key, 1), [2, 0]);
  equal('third', await one.ask('consume', 'short', key, 1), false);
  const consume = () => two.ask('consume', 'short', key, 1);
  await until('the next window', async () => (await consume())?.[0] === 1);
  const spread = await one.ask('spread', key);
  holds('the points of a window are spread over it', spread >= 550, spread);
}

async function blocks([one, two]) {
  for (const i of range(3)) {
    equal('before', await [one, two][i % 2].ask('consume', 'block', 'b', 1), [i + 1, 2 - i]);
  }
  equal('too many', await two.ask('consume', 'block', 'b', 1), false);
  const [consumed, left, ms] = await one.ask('get', 'block', 'b');
  equal('blocked', [consumed > 3, left, ms > 1000 && ms <= 2000], [true, 0, true]);
  await until('the end of the block', async () => (await one.ask('get', 'block', 'b')) === null);
  equal('block by hand', await one.ask('block', 'wide', 'h', 100), true);
  equal('it is seen', await two.ask('consume', 'wide', 'h', 1), false);
  equal('delete', await one.ask('delete', 'wide', 'h'), true);
  equal('it is gone', await two.ask('consume', 'wide', 'h', 1), [1, 99]);
  equal('delete none', await one.ask('delete', 'wide', 'none'), false);
}

async function changes([one, two]) {
  equal('penalty', await one.ask('penalty', 'wide', 'p', 5), 5);
  equal('reward', await two.ask('reward', 'wide', 'p', 2), 3);
  equal('none', await one.ask('get', 'wide', 'nobody'), null);
  equal('set', await two.ask('set', 'wide', 's', 42, 100), true);
  const [consumed, left, ms] = await one.ask('get', 'wide', 's');
  equal('get', [consumed, left, ms > 90000 && ms <= 100000], [42, 58, true]);
  equal('without an end', [await one.ask('consume', 'forever', 'f', 4),
    await two.ask('consume', 'forever', 'f', 4), await one.ask('consume', 'forever', 'f', 4)],
  [[4, 6], [8, 2], false]);
  equal('it has none', (await two.ask('get', 'forever', 'f'))[2], -1);
}

async function combined([one, two]) {
  const got = [];
  for (const i of range(18)) {
    got.push(await [one, two][i % 2].ask('consume', 'bursty', 'x', 1));
  }
  const good = got.filter(Boolean).length;
  holds('bursts beyond the steady rate', good >= 15, got);
  const united = [await one.ask('unite', 'u'), await two.ask('unite', 'u'),
    await one.ask('unite', 'u')];
  equal('all limiters of a union must agree', united, [2, 2, false]);
}

async function insurance(host) {
  const dead = new Redis(1, host, { lazyConnect: true, enableOfflineQueue: false,
    retryStrategy: null });
  dead.on('error', () => {});
  const insured = new RateLimiterRedis({ storeClient: dead, points: 2, duration: 5,
    insuranceLimiter: new RateLimiterMemory({ points: 1, duration: 5 }) });
  equal('without a server', [await outcome(insured.consume('i')),
    await outcome(insured.consume('i'))], [[1, 0], false]);
}

if (isPart) {
  await limit(...args);
} else {
  const [host, first, second] = args;
  const prefix = newPrefix('rlflx');
  const parts = [new Part(import.meta.url, 'redis', host, first, prefix),
    new Part(import.meta.url, 'ioredis', host, second, prefix)];
  await Promise.all(parts.map((part) => part.ask('ready')));
  await exactCount(parts);
  await windows(parts);
  await Promise.all([blocks, changes, combined].map((scenario) => scenario(parts)));
  await windows(parts.reverse());
  await insurance(host);
  done('rate-limiter-flexible');
}
