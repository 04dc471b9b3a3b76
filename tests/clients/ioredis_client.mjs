// ioredis: says HELLO 3, CLIENT SETINFO, and waits for INFO before it is ready.

import Redis from 'ioredis';
import { done, equal, fails, newPrefix, until } from './checks.mjs';

const [host, port] = process.argv.slice(2);
const prefix = newPrefix('io');
const redis = new Redis(Number(port), host, { maxRetriesPerRequest: 5 });
const other = new Redis(Number(port), host);
const range = (count) => [...Array(count).keys()];
redis.on('error', () => {}); // A lost connection is part of the test.

async function strings() {
  equal('ping', await redis.ping(), 'PONG');
  equal('set', await redis.set(`${prefix}a`, '1'), 'OK');
  equal('get', await redis.get(`${prefix}a`), '1');
  equal('get none', await redis.get(`${prefix}none`), null);
  equal('set nx', await redis.set(`${prefix}a`, '2', 'NX'), null);
  equal('set get', await redis.set(`${prefix}a`, '2', 'GET'), '1');
  equal('incr', await redis.incr(`${prefix}n`), 1);
  equal('incrby', await redis.incrby(`${prefix}n`, 41), 42);
  equal('append', await redis.append(`${prefix}s`, 'abc'), 3);
  equal('getrange', await redis.getrange(`${prefix}s`, 1, -1), 'bc');
  equal('strlen', await redis.strlen(`${prefix}s`), 3);
  equal('getdel', await redis.getdel(`${prefix}s`), 'abc');
  const blob = Buffer.from(range(256));
  equal('set buffer', await redis.set(`${prefix}blob`, blob), 'OK');
  equal('get buffer', await redis.getBuffer(`${prefix}blob`), blob);
  equal('unicode', [await redis.set(`${prefix}키`, '값 ☃'), await redis.get(`${prefix}키`)],
    ['OK', '값 ☃']);
}

async function expiry() {
  await redis.set(`${prefix}e`, 'v', 'EX', 100);
  const ttl = await redis.ttl(`${prefix}e`);
  equal('ttl', ttl > 95 && ttl <= 100, true);
  equal('persist', await redis.persist(`${prefix}e`), 1);
  equal('no ttl', await redis.ttl(`${prefix}e`), -1);
  equal('pexpire', await redis.pexpire(`${prefix}e`, 20), 1);
  await until('wait for the expiry', async () => (await redis.exists(`${prefix}e`)) === 0);
}

async function manyKeys() {
  const keys = range(400).map((i) => `${prefix}many:${i}`);
  equal('mset', await redis.mset(new Map(keys.map((key, i) => [key, String(i)]))), 'OK');
  equal('mget', await redis.mget(...keys, `${prefix}none`), [...range(400).map(String), null]);
  equal('exists', await redis.exists(...keys), 400);
  const found = [];
  for await (const batch of redis.scanStream({ match: `${prefix}many:*`, count: 30 })) {
    found.push(...batch);
  }
  equal('scanStream', found.sort(), [...keys].sort());
  equal('del', await redis.del(...keys.slice(0, 100)), 100);
  equal('unlink', await redis.unlink(...keys), 300);
}

async function pipelines() {
  const pipeline = redis.pipeline();
  range(2000).forEach((i) => pipeline.set(`${prefix}p:${i}`, i).get(`${prefix}p:${i}`));
  const replies = await pipeline.exec();
  equal('pipeline', replies, range(2000).flatMap((i) => [[null, 'OK'], [null, String(i)]]));
  const values = await Promise.all(range(1000).map(() => redis.incr(`${prefix}auto`)));
  equal('commands of one tick', values, range(1000).map((i) => i + 1));
}

async function transactions() {
  const tag = `{${prefix}}`;
  equal('multi', await redis.multi().set(`${tag}a`, 1).incr(`${tag}a`).get(`${tag}a`)
    .exec(), [[null, 'OK'], [null, 2], [null, '2']]);
  const bad = await redis.multi().set(`${tag}t`, 'text').incr(`${tag}t`).exec();
  equal('an error within', [bad[0], bad[1][0].message],
    [[null, 'OK'], 'ERR value is not an integer or out of range']);
  await redis.watch(`${tag}a`);
  await other.set(`${tag}a`, 'other');
  equal('a watched key', await redis.multi().set(`${tag}a`, 'mine').exec(), null);
  equal('what was not executed', await redis.get(`${tag}a`), 'other');
  await redis.multi({ pipeline: false });
  equal('queued', await redis.set(`${tag}a`, 'step'), 'QUEUED');
  equal('discard', await redis.discard(), 'OK');
  equal('what was discarded', await redis.get(`${tag}a`), 'other');
  const database = new Redis(Number(port), host, { db: 8 });
  const many = database.multi().flushdb();
  range(500).forEach((i) => many.set(`${prefix}${i}`, i));
  equal('a co-located database', (await many.dbsize().exec()).at(-1), [null, 500]);
  database.disconnect();
}

async function errors() {
  await redis.set(`${prefix}text`, 'text');
  await fails('incr', 'ERR value is not an integer or out of range', redis.incr(`${prefix}text`));
  await fails('unknown', "ERR unknown command 'flyaway'", redis.call('flyaway', 'x'));
  await fails('arity', "ERR wrong number of arguments for 'get' command", redis.call('get'));
  const three = redis.pipeline().set(`${prefix}x`, 1).incr(`${prefix}text`).get(`${prefix}x`);
  const good = (await three.exec()).map(([error]) => error === null);
  equal('an error stays in its place', good, [true, false, true]);
  equal('it goes on', await redis.ping(), 'PONG');
}

async function server() {
  const info = await redis.info();
  equal('info', info.includes('loading:0') && info.includes('role:master'), true);
  equal('name', await redis.client('SETNAME', 'io'), 'OK');
  equal('getname', await redis.client('GETNAME'), 'io');
  equal('config', (await redis.config('GET', 'maxclients')).length !== 0, true);
}

async function reconnection() {
  const id = await redis.client('ID');
  equal('kill', await other.client('KILL', 'ID', id), 1);
  equal('a command after it', await redis.set(`${prefix}re`, 'connected'), 'OK');
  equal('what it wrote', await redis.get(`${prefix}re`), 'connected');
  equal('a new connection', (await redis.client('ID')) !== id, true);
}

for (const part of [strings, expiry, manyKeys, pipelines, transactions, errors, server, reconnection]) {
  await part();
}
equal('quit', await redis.quit(), 'OK');
other.disconnect();
done('ioredis');
