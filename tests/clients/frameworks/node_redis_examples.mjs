// node-redis: what its README and its examples folder show, on two routers.

import { createClient, createClientPool, defineScript, WatchError } from 'redis';
import { done, equal, fails, holds, newPrefix, range, until, within } from '../checks.mjs';
import { args } from '../parts.mjs';

const [host, first, second] = args;
const prefix = newPrefix('nrex');
const url = (port) => `redis://${host}:${port}`;

const scripts = {
  capped: defineScript({
    NUMBER_OF_KEYS: 1,
    SCRIPT: `local n = redis.call('INCR', KEYS[1])
      if n > tonumber(ARGV[1]) then redis.call('DECR', KEYS[1]) return 0 end
      return n`,
    parseCommand(parser, key, limit) {
      parser.pushKey(key);
      parser.push(String(limit));
    },
    transformReply: (reply) => reply,
  }),
};

async function connect(port, options) {
  const client = createClient({ url: url(port), scripts, ...options });
  client.on('error', () => {}); // A lost connection is part of the test.
  await client.connect();
  return client;
}

const one = await connect(first);
const two = await connect(second, { RESP: 2 });

async function types() {
  const key = `${prefix}hash`;
  equal('hSet', await one.hSet(key, { name: 'Bob', age: '20', city: '서울' }), 3);
  equal('hGetAll', { ...await two.hGetAll(key) }, { name: 'Bob', age: '20', city: '서울' });
  equal('over RESP3', { ...await one.hGetAll(key) }, { name: 'Bob', age: '20', city: '서울' });
  equal('hIncrBy', await two.hIncrBy(key, 'age', 1), 21);
  const zset = `${prefix}zset`;
  equal('zAdd', await one.zAdd(zset, [{ score: 99, value: 'ninety nine' },
    { score: 101.5, value: 'more' }, { score: 1, value: 'one' }]), 3);
  const wanted = [{ value: 'one', score: 1 }, { value: 'ninety nine', score: 99 },
    { value: 'more', score: 101.5 }];
  equal('zRangeWithScores', await one.zRangeWithScores(zset, 0, -1), wanted);
  equal('over RESP2', await two.zRangeWithScores(zset, 0, -1), wanted);
  equal('zScore', [await one.zScore(zset, 'more'), await two.zScore(zset, 'none')], [101.5, null]);
  equal('sAdd', await one.sAdd(`${prefix}set`, ['a', 'b', 'a']), 2);
  equal('sMembers', [...await two.sMembers(`${prefix}set`)].sort(), ['a', 'b']);
  equal('pfAdd', await one.pfAdd(`${prefix}pf`, range(50).map(String)), 1);
  equal('pfCount', await two.pfCount(`${prefix}pf`), 50);
  equal('geoAdd', await one.geoAdd(`${prefix}geo`, [{ longitude: 126.978, latitude: 37.566,
    member: 'Seoul' }, { longitude: 129.075, latitude: 35.18, member: 'Busan' }]), 2);
  const km = Number(await two.geoDist(`${prefix}geo`, 'Seoul', 'Busan', 'km'));
  holds('geoDist', km > 320 && km < 330, km);
  equal('lists', [await one.rPush(`${prefix}list`, ['a', 'b', 'c']),
    await two.lRange(`${prefix}list`, 0, -1), await two.lPopCount(`${prefix}list`, 2)],
  [3, ['a', 'b', 'c'], ['a', 'b']]);
  equal('bits', [await one.setBit(`${prefix}bit`, 7, 1), await two.bitCount(`${prefix}bit`)],
    [0, 1]);
}

async function transactions() {
  const key = `{${prefix}multi}`;
  equal('multi', await one.multi().set(key, '1').incrBy(key, 41).get(key)
    .hSet(`${key}h`, 'a', 'b')
    .hGetAll(`${key}h`)
    .exec(), ['OK', 42, '42', 1, { a: 'b' }]);
  equal('execAsPipeline', await two.multi().get(key).exists(`${key}h`).execAsPipeline(), ['42', 1]);
  const failing = one.multi().set(key, 'text').incr(key).get(key);
  await fails('an error of one', '1 commands failed', failing.exec());
  equal('the others were done', await two.get(key), 'text');
}

// The increment of examples/transaction-with-watch.js, by several at once.
async function watch() {
  const key = `${prefix}watched`;
  await one.set(key, '0');
  const increment = async (port) => {
    const client = await connect(port);
    for (let left = 10; left > 0;) {
      await client.watch(key);
      const value = Number(await client.get(key));
      try {
        await client.multi().set(key, value + 1).exec();
        left -= 1;
      } catch (error) {
        if (!(error instanceof WatchError)) {
          throw error;
        }
      }
    }
    await client.close();
  };
  await Promise.all([first, second, first, second].map(increment));
  equal('no increment was lost', await two.get(key), '40');
}

async function pool() {
  const clients = createClientPool({ url: url(second) }, { minimum: 2, maximum: 6 });
  await clients.connect();
  const key = `${prefix}pool`;
  await Promise.all(range(100).map((i) => clients.hSet(key, `f${i}`, i)));
  equal('pool', await clients.hLen(key), 100);
  equal('a client of its own', await clients.execute(async (client) => {
    await client.watch(key);
    return client.multi().hLen(key).exec();
  }), [100]);
  await clients.close();
}

async function scripting() {
  const allowed = await Promise.all(range(60).map((i) => [one, two][i % 2].capped(`${prefix}cap`,
    25)));
  equal('a limiter', allowed.filter(Boolean).sort((a, b) => a - b), range(25).map((i) => i + 1));
  equal('in a transaction', await one.multi().del(`${prefix}cap`).capped(`${prefix}cap`, 5)
    .exec(), [1, 1]);
  equal('eval', await two.eval('return {KEYS[1], ARGV[1], 7}', { keys: [`${prefix}k`],
    arguments: ['값'] }), [`${prefix}k`, '값', 7]);
  const sha = await one.scriptLoad('return redis.call("EXISTS", KEYS[1])');
  equal('evalSha at the other', await two.evalSha(sha, { keys: [`${prefix}cap`] }), 1);
  await fails('noscript', 'NOSCRIPT', one.evalSha('f'.repeat(40), { keys: ['x'] }));
}

async function publishSubscribe() {
  const left = await connect(first);
  const right = await connect(second, { RESP: 2 });
  const heard = [];
  await left.subscribe(`${prefix}news`, (message, channel) => heard.push(['left', channel,
    message]));
  await right.pSubscribe(`${prefix}n?ws`, (message, channel) => heard.push(['right', channel,
    message]));
  await right.sSubscribe(`${prefix}shard`, (message) => heard.push(['shard', message]));
  equal('over RESP3 a subscriber may ask', await left.ping(), 'PONG');
  await two.publish(`${prefix}news`, '안녕');
  await one.sPublish(`${prefix}shard`, 'sharded');
  await until('messages', async () => heard.length === 3);
  equal('heard', heard.sort(), [['left', `${prefix}news`, '안녕'],
    ['right', `${prefix}news`, '안녕'], ['shard', 'sharded']]);
  equal('channels', await one.pubSubChannels(`${prefix}*`), [`${prefix}news`]);
  equal('numSub', { ...await two.pubSubNumSub([`${prefix}news`]) }, { [`${prefix}news`]: 1 });
  await left.unsubscribe(`${prefix}news`);
  equal('nobody but the pattern', await one.publish(`${prefix}news`, 'x') <= 1, true);
  // What was subscribed to is so again after the connection was lost.
  const id = /id=(\d+)[^\n]* psub=1/.exec(await two.sendCommand(['CLIENT', 'LIST']))[1];
  await two.sendCommand(['CLIENT', 'KILL', 'ID', id]);
  await until('subscribed again', async () => {
    await one.publish(`${prefix}news`, 'again');
    return heard.some(([, , message]) => message === 'again');
  });
  await Promise.all([left.close(), right.close()]);
}

// examples/stream-producer.js, stream-consumer.js and stream-consumer-group.js
async function streams() {
  const key = `${prefix}stream`;
  const consumer = await connect(second);
  const reading = (async () => {
    const seen = [];
    for (let id = '0-0'; seen.length < 20;) {
      const reply = await consumer.xRead([{ key, id }], { COUNT: 1, BLOCK: 5000 });
      if (reply) {
        const [{ messages: [{ id: last, message }] }] = reply;
        seen.push(message.i);
        id = last;
      }
    }
    return seen;
  })();
  for (const i of range(20)) {
    await one.xAdd(key, '*', { i: String(i) }, { TRIM: { strategy: 'MAXLEN',
      strategyModifier: '~', threshold: 100 } });
  }
  equal('in order', await within('the stream', reading), range(20).map(String));
  equal('group', await one.xGroupCreate(key, 'workers', '0', { MKSTREAM: true }), 'OK');
  const take = async (client, name) => {
    const ids = [];
    for (;;) {
      const reply = await client.xReadGroup('workers', name, [{ key, id: '>' }], { COUNT: 1,
        BLOCK: 50 });
      if (!reply) {
        return ids;
      }
      const [{ messages: [{ id }] }] = reply;
      ids.push(id);
      await client.xAck(key, 'workers', id);
    }
  };
  const ids = (await Promise.all([take(consumer, 'a'), take(await connect(first), 'b')])).flat();
  equal('each to one', [ids.length, new Set(ids).size], [20, 20]);
  equal('none is pending', (await two.xPending(key, 'workers')).pending, 0);
  equal('length', await two.xLen(key), 20);
  await consumer.close();
}

async function iterators() {
  await Promise.all(range(300).map((i) => one.set(`${prefix}scan:${i}`, i)));
  const found = [];
  for await (const keys of two.scanIterator({ TYPE: 'string', MATCH: `${prefix}scan:*`,
    COUNT: 100 })) {
    found.push(...keys);
  }
  equal('scanIterator', [...new Set(found)].sort(), range(300).map((i) => `${prefix}scan:${i}`)
    .sort());
  const key = `${prefix}big`;
  await one.hSet(key, Object.fromEntries(range(300).map((i) => [`f${i}`, String(i)])));
  await one.sAdd(`${key}s`, range(300).map(String));
  await one.zAdd(`${key}z`, range(300).map((i) => ({ value: `m${i}`, score: i })));
  const collect = async (iterator, of) => {
    const all = new Set();
    for await (const entries of iterator) {
      entries.forEach((entry) => all.add(of(entry)));
    }
    return all.size;
  };
  equal('hScanIterator', await collect(two.hScanIterator(key), ({ field }) => field), 300);
  equal('sScanIterator', await collect(one.sScanIterator(`${key}s`), (member) => member), 300);
  equal('zScanIterator', await collect(two.zScanIterator(`${key}z`), ({ value }) => value), 300);
}

// examples/blocking-list-pop.js
async function blocking() {
  const waiter = await connect(second);
  const key = `${prefix}queue`;
  const popped = waiter.blPop(key, 10);
  await until('it waits', async () => /cmd=blpop/.test(
    await two.sendCommand(['CLIENT', 'LIST'])));
  await one.lPush(key, ['1', '2']);
  equal('blPop', { ...await within('a pop', popped) }, { key, element: '2' });
  equal('in vain', await waiter.brPop(`${key}none`, 0.1), null);
  const best = waiter.bzPopMin(`${key}z`, 10);
  await one.zAdd(`${key}z`, { score: 5, value: 'five' });
  equal('bzPopMin', { ...await within('a pop', best) },
    { key: `${key}z`, value: 'five', score: 5 });
  await waiter.close();
}

async function options() {
  const named = await connect(first, { name: 'named', database: 6 });
  equal('name', await named.clientGetName(), 'named');
  await named.set(`${prefix}db`, 'six');
  equal('databases are apart', [await two.exists(`${prefix}db`), await named.exists(`${prefix}db`)],
    [0, 1]);
  await fails('no such database', 'out of range', named.select(99));
  equal('a command by hand', await one.sendCommand(['OBJECT', 'ENCODING', `${prefix}hash`]),
    'listpack');
  await named.close();
}

for (const part of [types, transactions, watch, pool, scripting, publishSubscribe, streams,
  iterators, blocking, options]) {
  await part();
}
await one.close();
await two.close();
done('node-redis examples');
