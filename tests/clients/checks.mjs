// What the scripts of both Node.js clients share: counting checks, stopping at the first bad one.

import assert from 'node:assert/strict';

let checks = 0;

export function equal(what, got, wanted) {
  checks += 1;
  assert.deepEqual(got, wanted, what);
}

export async function fails(what, part, promise) {
  checks += 1;
  await assert.rejects(promise, (error) => {
    assert.ok(error.message.includes(part), `${what}: got '${error.message}', wanted '${part}'`);
    return true;
  });
}

export async function until(what, predicate) {
  checks += 1;
  const end = Date.now() + 10000;
  while (!(await predicate())) {
    assert.ok(Date.now() < end, `${what} in vain`);
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
}

export function newPrefix(name) {
  return `${name}:${process.pid}:${Date.now()}:`;
}

export function done(name) {
  console.log(`${name}: ${checks} checks`);
  process.exit(0);
}
