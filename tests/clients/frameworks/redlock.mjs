// redlock: processes on two routers exclude each other; the lock is one key of database 0.

import Redis from 'ioredis';
import Redlock from 'redlock';
import { done, equal, fails, holds, newPrefix, range, sleep, until, within } from '../checks.mjs';
import { answerAs, args, isPart, Part } from '../parts.mjs';

const ROUNDS = 25;

const connect = (host, port) => new Redis(Number(port), host);
const lockWith = (redis, options) => new Redlock([redis],
  { retryCount: 1000, retryDelay: 10, retryJitter: 8, ...options });

// Reads, waits and writes: only a lock makes that a counter.
async function contend(host, port, resource, key) {
  const redis = connect(host, port);
  const redlock = lockWith(redis);
  let inside = 0;
  const once = async () => {
    const lock = await redlock.lock(resource, 20000);
    inside += 1;
    const alone = inside === 1;
    const value = Number(await redis.get(key));
    await sleep(Math.random() * 3);
    await redis.set(key, value + 1);
    inside -= 1;
    await lock.unlock();
    return alone;
  };
  answerAs({
    ready: () => true,
    run: async () => (await Promise.all(range(ROUNDS).map(once))).every(Boolean),
    hold: async (ms) => { await redlock.lock(`${resource}:held`, ms); },
  });
}

async function exclusion(parts, redis, key) {
  equal('alone inside', await Promise.all(parts.map((part) => part.ask('run'))),
    parts.map(() => true));
  equal('no turn was lost', await redis.get(key), String(parts.length * ROUNDS));
}

async function refusal(one, two, resource) {
  const lock = await lockWith(one).lock(resource, 10000);
  const impatient = lockWith(two, { retryCount: 2, retryDelay: 20 });
  await fails('held', 'Exceeded 2 attempts to lock the resource', impatient.lock(resource, 1000));
  await lock.unlock();
  const mine = await impatient.lock(resource, 1000);
  await fails('unlocked by who has it not', 'Unable to fully release the lock',
    lockWith(one).unlock(Object.assign(lock, { expiration: Date.now() + 1000 })));
  equal('it is still held', (await two.get(resource)) === mine.value, true);
  await mine.unlock();
  equal('the key goes with the lock', await one.exists(resource), 0);
}

async function extension(one, two, resource) {
  const lock = await lockWith(one).lock(resource, 1000);
  await lock.extend(30000);
  const left = await two.pttl(resource);
  holds('extended', left > 20000 && left <= 30000, left);
  await lock.unlock();
  const short = await lockWith(two).lock(resource, 50);
  await until('its end', async () => (await one.exists(resource)) === 0);
  await fails('too late', 'already expired', short.extend(1000));
  await fails('too late to unlock', 'Unable to fully release', short.unlock());
}

async function expiry(one, two, resource) {
  await lockWith(one).lock(resource, 400);
  const began = Date.now();
  const next = await within('the next turn', lockWith(two).lock(resource, 1000));
  const waited = Date.now() - began;
  holds('not before the end of the lock', waited >= 250, waited);
  await next.unlock();
}

// A holder that dies does not hold for ever.
async function death(part, two, resource) {
  await part.ask('hold', 700);
  equal('held', await two.exists(`${resource}:held`), 1);
  await part.kill();
  const lock = await within('the lock of the dead', lockWith(two).lock(`${resource}:held`, 1000));
  await lock.unlock();
}

async function disposal(one, two, resource) {
  const redlock = lockWith(one);
  const bluebird = (await import('bluebird')).default;
  await bluebird.using(redlock.disposer(resource, 5000), async () => {
    equal('inside', await two.exists(resource), 1);
  });
  await until('unlocked behind it', async () => (await two.exists(resource)) === 0);
}

// Several resources at once: with a hash tag they are on one shard.
async function several(one, two, prefix) {
  const names = range(3).map((i) => `{${prefix}several}:${i}`);
  const lock = await lockWith(one).lock(names, 5000);
  equal('all', await two.exists(...names), 3);
  const impatient = lockWith(two, { retryCount: 1, retryDelay: 10 });
  await fails('one of them', 'Exceeded 1 attempts', impatient.lock(names[1], 1000));
  await lock.unlock();
  equal('none', await two.exists(...names), 0);
}

if (isPart) {
  await contend(...args);
} else {
  const [host, first, second] = args;
  const prefix = newPrefix('lock');
  const resource = `${prefix}resource`;
  const [one, two] = [connect(host, first), connect(host, second)];
  const parts = [first, second].map((port) => new Part(import.meta.url, host, port, resource,
    `${prefix}counter`));
  await Promise.all(parts.map((part) => part.ask('ready')));
  await exclusion(parts, one, `${prefix}counter`);
  await refusal(one, two, resource);
  await extension(one, two, resource);
  await expiry(one, two, resource);
  await death(parts[0], two, resource);
  await disposal(one, two, resource);
  await several(one, two, prefix);
  done('redlock');
}
