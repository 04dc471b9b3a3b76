// What people run on Redis' scripts, unchanged: rate limiters, locks, and a queue whose scripts need
// cmsgpack, streams and keys that they do not declare.

import Redis from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { RedisStore } from 'rate-limit-redis';
import Redlock from 'redlock';
import { Queue, Worker } from 'bullmq';
import { done, equal, fails, newPrefix, until } from './checks.mjs';

const [host, port] = process.argv.slice(2);
const prefix = newPrefix('fw');
const redis = new Redis(Number(port), host);
const range = (count) => [...Array(count).keys()];

async function rateLimiterFlexible() {
  const limiter = new RateLimiterRedis({
    storeClient: redis, points: 5, duration: 60, keyPrefix: prefix,
  });
  const tries = await Promise.allSettled(range(20).map(() => limiter.consume('user')));
  equal('5 of 20 pass', tries.filter((one) => one.status === 'fulfilled').length, 5);
  equal('consumed', (await limiter.get('user')).consumedPoints, 20);
}

async function rateLimitRedis() {
  const store = new RedisStore({ sendCommand: (...args) => redis.call(...args), prefix });
  store.init({ windowMs: 60000 });
  for (const hits of [1, 2, 3]) {
    equal('hits', (await store.increment('client')).totalHits, hits);
  }
  await store.decrement('client');
  equal('after decrement', (await store.get('client')).totalHits, 2);
}

async function locks() {
  const redlock = new Redlock([redis], { retryCount: 0 });
  const lock = await redlock.lock(`${prefix}lock`, 10000);
  await fails('held', 'attempts to lock', redlock.lock(`${prefix}lock`, 10000));
  await lock.extend(20000);
  await lock.unlock();
  await (await redlock.lock(`${prefix}lock`, 10000)).unlock();
}

async function queue(options, queuePrefix) {
  const connection = { host, port: Number(port), maxRetriesPerRequest: null, ...options };
  const jobs = new Queue('jobs', { connection, prefix: queuePrefix });
  const seen = [];
  const work = async (job) => { seen.push(job.data.n); };
  const worker = new Worker('jobs', work, { connection, prefix: queuePrefix, concurrency: 5 });
  await jobs.addBulk(range(50).map((n) => ({ name: 'job', data: { n } })));
  for (const n of range(50)) {
    await jobs.add('job', { n: 50 + n }, { delay: n % 3 === 0 ? 50 : 0, priority: n % 4 });
  }
  await until('all jobs are done', async () => (await jobs.getJobCounts('completed')).completed === 100);
  equal('each once', [...seen].sort((a, b) => a - b), range(100));
  await worker.close();
  await jobs.close();
}

await rateLimiterFlexible();
await rateLimitRedis();
await locks();
await queue({ db: 1 }, `${prefix}q`);
await queue({}, `{${prefix}q}`);
done('frameworks');
