// ioredis: what its README and its examples folder show, on two routers.

import Redis from 'ioredis';
import { done, equal, fails, holds, newPrefix, range, until, within } from '../checks.mjs';
import { args } from '../parts.mjs';

const [host, first, second] = args;
const prefix = newPrefix('ioex');
const one = new Redis(Number(first), host);
const two = new Redis(Number(second), host);
const redises = [one, two];

async function types() {
  const key = `${prefix}hash`;
  equal('hset of an object', await one.hset(key, { name: 'Bob', age: 20, city: '서울' }), 3);
  equal('hgetall', { ...await two.hgetall(key) }, { name: 'Bob', age: '20', city: '서울' });
  equal('hset of a map', await one.hset(key, new Map([['name', 'Alice'], ['x', '1']])), 1);
  equal('hmget', await two.hmget(key, 'name', 'none', 'x'), ['Alice', null, '1']);
  equal('hincrby', await two.hincrby(key, 'age', 1), 21);
  const list = `${prefix}list`;
  equal('rpush', await one.rpush(list, 'a', 'b', 'c'), 3);
  equal('lpop', [await two.lpop(list), await one.lrange(list, 0, -1)], ['a', ['b', 'c']]);
  const set = `${prefix}set`;
  equal('sadd', await one.sadd(set, [1, 3, 5, 7]), 4);
  equal('smembers', (await two.smembers(set)).sort(), ['1', '3', '5', '7']);
  const zset = `${prefix}zset`;
  equal('zadd', await one.zadd(zset, 100, 'ann', 50, 'bob', 75, 'cid', 150, 'dan'), 4);
  equal('best two', await two.zrange(zset, 0, 1, 'REV', 'WITHSCORES'),
    ['dan', '150', 'ann', '100']);
  equal('zrangebyscore', await one.zrangebyscore(zset, '(50', '+inf', 'LIMIT', 0, 2),
    ['cid', 'ann']);
}

async function pipelines() {
  const key = `${prefix}pipe`;
  const results = await one.pipeline().set(key, 'bar').lpush(key, 'x').get(key)
    .exec();
  equal('each has its place', [results[0], results[1][0].message.startsWith('WRONGTYPE'),
    results[2]], [[null, 'OK'], true, [null, 'bar']]);
  const many = two.pipeline(range(200).map((i) => ['hset', `${prefix}p${i % 20}`, `f${i}`, i]));
  equal('an array of commands', (await many.exec()).map(([, n]) => n), range(200).map(() => 1));
  const auto = new Redis(Number(second), host, { enableAutoPipelining: true });
  const got = await Promise.all(range(300).map((i) => (i % 3 ? auto.hget(`${prefix}p${i % 20}`,
    `f${i % 200}`) : auto.hlen(`${prefix}p${i % 20}`))));
  const wanted = range(300).map((i) => (i % 3 ? ((i % 200) % 20 === i % 20 ? String(i % 200)
    : null) : 10));
  equal('auto pipelining', got, wanted);
  await auto.quit();
}

async function transactions() {
  const key = `{${prefix}multi}`;
  equal('multi', await one.multi().set(key, '1').incr(key).get(key)
    .exec(), [[null, 'OK'], [null, 2], [null, '2']]);
  const results = await one.multi().set(`${key}a`, 'x').incr(`${key}a`).get(`${key}a`)
    .exec();
  equal('an error of one', [results[0], results[1][0].message, results[2]],
    [[null, 'OK'], 'ERR value is not an integer or out of range', [null, 'x']]);
  await fails('an error while queueing', 'EXECABORT', one.multi().set(key).get(key).exec());
  equal('nothing was done', await two.get(key), '2');
  await one.multi({ pipeline: false });
  equal('queued', await one.set(key, 'later'), 'QUEUED');
  equal('not yet', await two.get(key), '2');
  equal('exec', await one.exec(), [[null, 'OK']]);
  equal('inline in a pipeline', await two.pipeline().get(key).multi().set(key, '5')
    .get(key)
    .exec()
    .get(key)
    .exec(), [[null, 'later'], [null, 'OK'], [null, 'QUEUED'], [null, 'QUEUED'],
    [null, ['OK', '5']], [null, '5']]);
}

// The counter of the manual: read, compute, write, again if somebody else was faster.
async function watch() {
  const key = `${prefix}watched`;
  await one.set(key, 0);
  const increment = async (port) => {
    const redis = new Redis(Number(port), host);
    for (let left = 10; left > 0;) {
      await redis.watch(key);
      const value = Number(await redis.get(key));
      if (await redis.multi().set(key, value + 1).exec()) {
        left -= 1;
      }
    }
    await redis.quit();
  };
  await Promise.all([first, second, first, second].map(increment));
  equal('no increment was lost', await two.get(key), '40');
  await one.watch(key);
  await two.set(key, 'x');
  equal('changed', await one.multi().set(key, 'y').exec(), null);
  await one.watch(key);
  await two.set(key, 'z');
  await one.unwatch();
  equal('unwatch', await one.multi().get(key).exec(), [[null, 'z']]);
}

async function scripts() {
  for (const redis of redises) {
    redis.defineCommand('myecho', { numberOfKeys: 2,
      lua: 'return {KEYS[1],KEYS[2],ARGV[1],ARGV[2]}' });
    redis.defineCommand('capped', { numberOfKeys: 1, lua: `
      local n = redis.call('INCR', KEYS[1])
      if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
      return n <= tonumber(ARGV[1]) and 1 or 0` });
    redis.defineCommand('dynamic', { lua: 'return #KEYS' });
  }
  const keys = [`{${prefix}k}1`, `{${prefix}k}2`];
  equal('defineCommand', await one.myecho(...keys, 'a1', '값'), [...keys, 'a1', '값']);
  equal('as buffers', await two.myechoBuffer(...keys, 'a1', '값'),
    [...keys, 'a1', '값'].map((text) => Buffer.from(text)));
  const allowed = await Promise.all(range(60).map((i) => redises[i % 2].capped(`${prefix}cap`, 25,
    60000)));
  equal('a limiter', allowed.filter(Boolean).length, 25);
  equal('in a pipeline', await one.pipeline().set(`${prefix}cap`, 0).capped(`${prefix}cap`, 25, 1)
    .exec(), [[null, 'OK'], [null, 1]]);
  equal('number of keys as argument', await two.dynamic(2, ...keys, 'x'), 2);
  const sha = await one.script('LOAD', 'return redis.call("GET", KEYS[1])');
  await one.set(keys[0], 'v');
  equal('evalsha at the other', await two.evalsha(sha, 1, keys[0]), 'v');
  equal('script exists', await two.script('EXISTS', sha, 'f'.repeat(40)), [1, 0]);
  await fails('an error in it', 'WRONGTYPE', one.eval('return redis.call("LPUSH", KEYS[1], 1)', 1,
    keys[0]));
}

async function publishSubscribe() {
  const [left, right] = [new Redis(Number(first), host), new Redis(Number(second), host)];
  const heard = [];
  left.on('message', (channel, message) => heard.push(['message', channel, message]));
  right.on('pmessage', (pattern, channel, message) => heard.push([pattern, channel, message]));
  right.on('messageBuffer', (channel, message) => heard.push([channel.toString(), message]));
  equal('subscribe', await left.subscribe(`${prefix}news`, `${prefix}music`), 2);
  equal('psubscribe', await right.psubscribe(`${prefix}n?ws`), 1);
  equal('subscribe too', await right.subscribe(`${prefix}bytes`), 2);
  equal('numsub', await two.pubsub('NUMSUB', `${prefix}news`, `${prefix}none`),
    [`${prefix}news`, 1, `${prefix}none`, 0]);
  await one.publish(`${prefix}news`, '안녕');
  await two.publish(`${prefix}music`, 'la');
  await one.publish(`${prefix}bytes`, Buffer.from([0, 255]));
  equal('nobody', await one.publish(`${prefix}none`, 'x'), 0);
  await until('messages', async () => heard.length === 4);
  const find = (channel) => heard.filter((entry) => entry.includes(`${prefix}${channel}`));
  equal('news', find('news').sort(), [[`${prefix}n?ws`, `${prefix}news`, '안녕'],
    ['message', `${prefix}news`, '안녕']].sort());
  equal('music', find('music'), [['message', `${prefix}music`, 'la']]);
  equal('bytes', find('bytes'), [[`${prefix}bytes`, Buffer.from([0, 255])]]);
  range(200).forEach((i) => one.publish(`${prefix}music`, i));
  await until('many', async () => heard.length === 204);
  equal('in order', heard.slice(4).map(([, , i]) => Number(i)), range(200));
  equal('unsubscribe', await left.unsubscribe(), 0);
  // What was subscribed to is so again after the connection was lost.
  const id = Number(/id=(\d+)[^\n]* sub=1 psub=1/.exec(await two.client('LIST'))[1]);
  await two.client('KILL', 'ID', id);
  await until('subscribed again', async () => {
    await one.publish(`${prefix}news`, 'again');
    return heard.some(([, , message]) => message === 'again');
  });
  await Promise.all([left.quit(), right.quit()]);
}

async function streams() {
  const key = `${prefix}stream`;
  const reader = new Redis(Number(second), host);
  const seen = [];
  const listen = async (id) => {
    const results = await reader.xread('BLOCK', 5000, 'STREAMS', key, id);
    if (!results) {
      return id;
    }
    const [, messages] = results[0];
    seen.push(...messages.map(([, fields]) => fields));
    return messages.at(-1)[0];
  };
  const listening = (async () => {
    for (let id = '0'; seen.length < 20;) {
      id = await listen(id);
    }
  })();
  for (const i of range(20)) {
    await one.xadd(key, '*', 'n', i, 'text', '값');
  }
  await within('the stream', listening);
  equal('in order', seen, range(20).map((i) => ['n', String(i), 'text', '값']));
  const group = ['GROUP', 'workers'];
  equal('group', await one.xgroup('CREATE', key, 'workers', '0'), 'OK');
  const taken = await Promise.all(redises.map((redis, i) => redis.xreadgroup(...group, `w${i}`,
    'COUNT', 10, 'STREAMS', key, '>')));
  const ids = taken.flatMap(([[, messages]]) => messages.map(([id]) => id));
  equal('each to one', new Set(ids).size, 20);
  equal('xack', await two.xack(key, 'workers', ...ids.slice(0, 19)), 19);
  equal('pending', (await one.xpending(key, 'workers'))[0], 1);
  const claimed = await two.xautoclaim(key, 'workers', 'w9', 0, '0');
  equal('claimed', claimed[1].map(([id]) => id), ids.slice(19));
  equal('xtrim', [await one.xtrim(key, 'MAXLEN', 5), await two.xlen(key)], [15, 5]);
  await reader.quit();
}

async function iterators() {
  await Promise.all(range(300).map((i) => one.set(`${prefix}scan:${i}`, i)));
  const found = [];
  for await (const keys of two.scanStream({ match: `${prefix}scan:*`, count: 50 })) {
    found.push(...keys);
  }
  equal('scanStream', [...new Set(found)].sort(), range(300).map((i) => `${prefix}scan:${i}`)
    .sort());
  const key = `${prefix}big`;
  await one.hset(key, Object.fromEntries(range(500).map((i) => [`f${i}`, i])));
  await one.sadd(`${key}s`, ...range(500));
  await one.zadd(`${key}z`, ...range(500).flatMap((i) => [i, `m${i}`]));
  const collect = async (stream) => {
    const all = [];
    for await (const batch of stream) {
      all.push(...batch);
    }
    return all;
  };
  const fields = await collect(two.hscanStream(key, { match: 'f1*' }));
  equal('hscanStream', new Set(fields.filter((_, i) => i % 2 === 0)).size, 111);
  equal('sscanStream', new Set(await collect(two.sscanStream(`${key}s`, { count: 30 }))).size, 500);
  const members = await collect(two.zscanStream(`${key}z`));
  equal('zscanStream', new Set(members.filter((_, i) => i % 2 === 0)).size, 500);
}

async function blocking() {
  const waiter = new Redis(Number(second), host);
  const key = `${prefix}queue`;
  const popped = waiter.blpop(key, 10);
  await until('it waits', async () => /cmd=blpop/.test(await two.client('LIST')));
  await one.rpush(key, 'job');
  equal('blpop', await within('a pop', popped), [key, 'job']);
  const began = Date.now();
  equal('in vain', await waiter.brpop(key, 0.2), null);
  holds('after its time', Date.now() - began >= 190, Date.now() - began);
  const moved = waiter.blmove(`{${key}}a`, `{${key}}b`, 'LEFT', 'RIGHT', 10);
  await until('it waits too', async () => /cmd=blmove/.test(await two.client('LIST')));
  await one.lpush(`{${key}}a`, 'x');
  equal('blmove', [await within('a move', moved), await one.lrange(`{${key}}b`, 0, -1)],
    ['x', ['x']]);
  await waiter.quit();
}

async function options() {
  const prefixed = new Redis(Number(first), host, { keyPrefix: `${prefix}pre:` });
  await prefixed.set('foo', 'bar');
  equal('keyPrefix', await two.get(`${prefix}pre:foo`), 'bar');
  equal('in a transaction', await prefixed.multi().get('foo').exec(), [[null, 'bar']]);
  const fifth = new Redis(Number(second), host, { db: 5, lazyConnect: true,
    connectionName: 'named' });
  await fifth.connect();
  await fifth.set(`${prefix}db`, 'five');
  equal('databases are apart', [await two.exists(`${prefix}db`), await fifth.exists(`${prefix}db`)],
    [0, 1]);
  equal('name', await fifth.client('GETNAME'), 'named');
  const copy = one.duplicate();
  equal('duplicate', await copy.get(`${prefix}pre:foo`), 'bar');
  await Promise.all([prefixed.quit(), fifth.quit(), copy.quit()]);
}

for (const part of [types, pipelines, transactions, watch, scripts, publishSubscribe, streams,
  iterators, blocking, options]) {
  await part();
}
await Promise.all(redises.map((redis) => redis.quit()));
done('ioredis examples');
