// node-redis: says HELLO 3, CLIENT SETINFO, CLIENT MAINT_NOTIFICATIONS; a refused HELLO is fatal.

import { createClient, RESP_TYPES } from 'redis';
import { done, equal, fails, newPrefix, until } from './checks.mjs';

const [host, port] = process.argv.slice(2);
const prefix = newPrefix('nr');
const url = `redis://${host}:${port}`;
const range = (count) => [...Array(count).keys()];
const client = createClient({ url });
const other = createClient({ url, RESP: 2 });
client.on('error', () => {}); // A lost connection is part of the test.
await client.connect();
await other.connect();

async function strings() {
  equal('ping', await client.ping(), 'PONG');
  equal('set', await client.set(`${prefix}a`, '1'), 'OK');
  equal('get', await client.get(`${prefix}a`), '1');
  equal('get none', await client.get(`${prefix}none`), null);
  equal('set nx', await client.set(`${prefix}a`, '2', { NX: true }), null);
  equal('set get', await client.set(`${prefix}a`, '2', { GET: true }), '1');
  equal('incr', await client.incr(`${prefix}n`), 1);
  equal('incrBy', await client.incrBy(`${prefix}n`, 41), 42);
  equal('incrByFloat', await client.incrByFloat(`${prefix}f`, 2.5), '2.5');
  equal('append', await client.append(`${prefix}s`, 'abc'), 3);
  equal('getRange', await client.getRange(`${prefix}s`, 1, -1), 'bc');
  equal('getSet', await client.getSet(`${prefix}s`, 'def'), 'abc');
  equal('getDel', await client.getDel(`${prefix}s`), 'def');
  const blob = Buffer.from(range(256));
  const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  equal('set buffer', await binary.set(`${prefix}blob`, blob), 'OK');
  equal('get buffer', await binary.get(`${prefix}blob`), blob);
  equal('over RESP2', await other.get(`${prefix}a`), '2');
}

async function expiry() {
  await client.set(`${prefix}e`, 'v', { EX: 100 });
  const ttl = await client.ttl(`${prefix}e`);
  equal('ttl', ttl > 95 && ttl <= 100, true);
  equal('persist', Number(await client.persist(`${prefix}e`)), 1);
  equal('pExpire', Number(await client.pExpire(`${prefix}e`, 20)), 1);
  await until('wait for the expiry', async () => (await client.exists(`${prefix}e`)) === 0);
}

async function manyKeys() {
  const keys = range(400).map((i) => `${prefix}many:${i}`);
  equal('mSet', await client.mSet(keys.map((key, i) => [key, String(i)])), 'OK');
  equal('mGet', await client.mGet([...keys, `${prefix}none`]), [...range(400).map(String), null]);
  equal('exists', await client.exists(keys), 400);
  const found = [];
  for await (const batch of client.scanIterator({ MATCH: `${prefix}many:*`, COUNT: 30 })) {
    found.push(...batch);
  }
  equal('scanIterator', found.sort(), [...keys].sort());
  equal('del', await client.del(keys.slice(0, 100)), 100);
  equal('unlink', await client.unlink(keys), 300);
}

async function pipelines() {
  const replies = await Promise.all(range(2000).flatMap((i) => [
    client.set(`${prefix}p:${i}`, String(i)), client.get(`${prefix}p:${i}`)]));
  equal('commands of one tick', replies, range(2000).flatMap((i) => ['OK', String(i)]));
  const values = await Promise.all(range(1000).map(() => client.incr(`${prefix}auto`)));
  equal('in order', values, range(1000).map((i) => i + 1));
}

async function transactions() {
  const tag = `{${prefix}}`;
  equal('multi', await client.multi().set(`${tag}a`, '1').incr(`${tag}a`).get(`${tag}a`)
    .exec(), ['OK', 2, '2']);
  await client.watch(`${tag}a`);
  await other.set(`${tag}a`, 'other');
  await fails('a watched key', 'One (or more) of the watched keys has been changed',
              client.multi().set(`${tag}a`, 'mine').exec());
  equal('what was not executed', await client.get(`${tag}a`), 'other');
  const database = createClient({ url: `${url}/9` });
  await database.connect();
  const many = database.multi().flushDb();
  range(500).forEach((i) => many.set(`${prefix}${i}`, String(i)));
  equal('a co-located database', (await many.dbSize().exec()).at(-1), 500);
  await database.close();
}

async function errors() {
  await client.set(`${prefix}text`, 'text');
  await fails('incr', 'ERR value is not an integer or out of range', client.incr(`${prefix}text`));
  await fails('unknown', "ERR unknown command 'flyaway'", client.sendCommand(['flyaway', 'x']));
  await fails('arity', "ERR wrong number of arguments for 'get' command",
              client.sendCommand(['get']));
  equal('it goes on', await client.ping(), 'PONG');
}

async function server() {
  const hello = await client.sendCommand(['HELLO', '3']);
  const fields = hello instanceof Map ? Object.fromEntries(hello) : hello;
  const get = (name) => (Array.isArray(fields) ? fields[fields.indexOf(name) + 1] : fields[name]);
  equal('hello server', get('server'), 'redis');
  equal('hello proto', Number(get('proto')), 3);
  equal('hello mode', get('mode'), 'standalone');
  equal('hello role', get('role'), 'master');
  equal('info', (await client.info()).includes('redis_version:7'), true);
  equal('name', await client.clientSetName('nr'), 'OK');
  equal('getname', await client.clientGetName(), 'nr');
  equal('config', 'maxclients' in (await client.configGet('maxclients')), true);
}

async function reconnection() {
  const id = await client.clientId();
  equal('kill', await other.sendCommand(['CLIENT', 'KILL', 'ID', String(id)]), 1);
  await until('wait for a new connection', async () => {
    try {
      return (await client.clientId()) !== id;
    } catch {
      return false;
    }
  });
  equal('set after it', await client.set(`${prefix}re`, 'connected'), 'OK');
  equal('get after it', await client.get(`${prefix}re`), 'connected');
}

for (const part of [strings, expiry, manyKeys, pipelines, transactions, errors, server, reconnection]) {
  await part();
}
await client.close();
await other.close();
done('node-redis');
