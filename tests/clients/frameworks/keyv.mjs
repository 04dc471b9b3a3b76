// Keyv with @keyv/redis: a cache that two programs share, each through its own router.

import { createKeyv } from '@keyv/redis';
import { done, equal, newPrefix, range, until } from '../checks.mjs';
import { args } from '../parts.mjs';

const [host, first, second] = args;
const namespace = newPrefix('keyv');

// An error is one, not an event that nobody looks at.
function open(port, name) {
  const keyv = createKeyv(`redis://${host}:${port}`, { namespace: name, throwOnErrors: true });
  keyv.on('error', (error) => { throw error; });
  return keyv;
}

const one = open(first, namespace);
const two = open(second, namespace);
const other = open(second, `${namespace}other`);

async function values() {
  equal('none', await two.get('none'), undefined);
  for (const [key, value] of [['text', '값 ☃'], ['number', 12.5], ['list', [1, 'two', null]],
    ['object', { a: { b: true } }], ['no', false], ['empty', '']]) {
    equal(`set ${key}`, await one.set(key, value), true);
    equal(`get ${key}`, await two.get(key), value);
    equal(`has ${key}`, await two.has(key), true);
  }
  await one.set('blob', Buffer.from(range(256)));
  equal('a buffer', await two.get('blob'), Buffer.from(range(256)));
  equal('overwrite', [await two.set('text', 'new'), await one.get('text')], [true, 'new']);
  equal('delete', await two.delete('text'), true);
  equal('deleted', [await one.get('text'), await one.has('text')], [undefined, false]);
  equal('delete none', await two.delete('text'), false);
}

async function expiry() {
  await one.set('short', 1, 60);
  await one.set('long', 2, 60000);
  await until('the end of the short one', async () => (await two.get('short')) === undefined);
  equal('the long one', await two.get('long'), 2);
  const { expires } = await two.get('long', { raw: true });
  equal('when it ends', expires > Date.now() + 50000 && expires <= Date.now() + 60000, true);
}

async function many() {
  const keys = range(200).map((i) => `many${i}`);
  const entries = keys.map((key, i) => ({ key, value: { i }, ttl: i % 2 ? 60000 : undefined }));
  await one.setMany(entries);
  equal('getMany', await two.getMany([...keys, 'none']), [...range(200).map((i) => ({ i })),
    undefined]);
  equal('hasMany', await two.hasMany(['many7', 'none', 'many8']), [true, false, true]);
  equal('deleteMany', await two.deleteMany(keys.slice(0, 150)), true);
  equal('what is left', (await one.getMany(keys)).filter(Boolean).length, 50);
}

async function namespaces() {
  await other.set('many199', 'of another');
  equal('not ours', await one.get('many199'), { i: 199 });
  const found = [];
  for await (const [key, value] of two.iterator()) {
    if (key.startsWith('many')) {
      found.push(value.i);
    }
  }
  equal('iterator', found.sort((a, b) => a - b), range(200).slice(150));
  await one.clear();
  equal('cleared', [await two.get('many199'), await two.get('object')], [undefined, undefined]);
  equal('the others keep theirs', await other.get('many199'), 'of another');
  await other.clear();
}

// What two programs write at once is one of both, never a mixture, and both see the same.
async function together() {
  await Promise.all(range(40).map((i) => (i % 2 ? one : two).set(`shared${i % 4}`, { i })));
  for (const i of range(4)) {
    const [a, b] = await Promise.all([one.get(`shared${i}`), two.get(`shared${i}`)]);
    equal('both see the same', a, b);
    equal('one of those written', a.i % 4, i);
  }
}

for (const part of [values, expiry, many, namespaces, together]) {
  await part();
}
await Promise.all([one, two, other].map((keyv) => keyv.disconnect()));
done('keyv');
