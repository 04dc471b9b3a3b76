// What the scripts of Node.js share: counting checks, stopping at the first bad one.

import assert from 'node:assert/strict';

// Slow machines need more time than states take otherwise.
const PATIENCE = Number(process.env.SHERD_TEST_PATIENCE ?? 1);
const WAIT_MS = 15000 * PATIENCE;

let checks = 0;

export const range = (count) => [...Array(count).keys()];

export const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export function equal(what, got, wanted) {
  checks += 1;
  assert.deepEqual(got, wanted, what);
}

export function holds(what, condition, got) {
  checks += 1;
  assert.ok(condition, `${what}: ${JSON.stringify(got)}`);
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
  const end = Date.now() + WAIT_MS;
  while (!(await predicate())) {
    assert.ok(Date.now() < end, `${what} in vain`);
    await sleep(10);
  }
}

// What a promise gives, or an error that says what was waited for.
export async function within(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} in vain`)), WAIT_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export function newPrefix(name) {
  return `${name}:${process.pid}:${Date.now()}:`;
}

export function done(name) {
  console.log(`${name}: ${checks} checks`);
  process.exit(0);
}
