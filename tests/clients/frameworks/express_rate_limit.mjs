// express-rate-limit with rate-limit-redis: two processes with web servers, each with its own
// router, count together.

import express from 'express';
import { rateLimit } from 'express-rate-limit';
import Redis from 'ioredis';
import { RedisStore } from 'rate-limit-redis';
import { createClient } from 'redis';
import { done, equal, holds, newPrefix, range, sum, until } from '../checks.mjs';
import { answerAs, args, isPart, Part } from '../parts.mjs';

const LIMIT = 50;

async function senderOf(library, host, port) {
  if (library === 'ioredis') {
    const redis = new Redis(Number(port), host);
    return (command, ...rest) => redis.call(command, ...rest);
  }
  const client = createClient({ url: `redis://${host}:${port}` });
  await client.connect();
  return (...command) => client.sendCommand(command);
}

async function serve(library, host, port, prefix) {
  const sendCommand = await senderOf(library, host, port);
  const app = express();
  const limiter = (name, options) => {
    const made = rateLimit({
      standardHeaders: 'draft-6',
      legacyHeaders: false,
      keyGenerator: (req) => req.query.user,
      store: new RedisStore({ sendCommand, prefix: `${prefix}${name}:` }),
      ...options,
    });
    app.use(`/${name}`, made, (req, res) => res.status(Number(req.query.status ?? 200)).json({}));
    return made;
  };
  const limiters = {
    long: limiter('long', { windowMs: 60000, limit: LIMIT }),
    short: limiter('short', { windowMs: 1000, limit: 2 }),
    login: limiter('login', { windowMs: 60000, limit: 3, skipSuccessfulRequests: true }),
  };
  const server = await new Promise((resolve) => {
    const made = app.listen(0, '127.0.0.1', () => resolve(made));
  });
  answerAs({
    address: () => `http://127.0.0.1:${server.address().port}`,
    hits: async (name, user) => (await limiters[name].getKey(user))?.totalHits,
    reset: (name, user) => limiters[name].resetKey(user),
  });
}

const get = (url, path) => fetch(url + path);

async function exactCount(urls) {
  const replies = await Promise.all(range(160).map((i) => get(urls[i % 2], '/long?user=a')));
  const statuses = replies.map((reply) => reply.status);
  equal('let through', statuses.filter((status) => status === 200).length, LIMIT);
  equal('sent away', statuses.filter((status) => status === 429).length, 160 - LIMIT);
  const left = replies.filter((reply) => reply.status === 200)
    .map((reply) => Number(reply.headers.get('ratelimit-remaining')));
  equal('each number is given once', left.sort((a, b) => a - b), range(LIMIT));
  equal('limit', replies[0].headers.get('ratelimit-limit'), String(LIMIT));
  const reset = Number(replies[0].headers.get('ratelimit-reset'));
  holds('reset', reset > 30 && reset <= 60, reset);
  const refused = replies.find((reply) => reply.status === 429);
  const after = Number(refused.headers.get('retry-after'));
  holds('retry after', after > 30 && after <= 60, after);
}

async function manyUsers(urls) {
  const counts = await Promise.all(range(20).map(async (user) => {
    const replies = await Promise.all(range(6).map((i) => get(urls[i % 2],
      `/long?user=many${user}`)));
    return sum(replies.map((reply) => Number(reply.headers.get('ratelimit-remaining'))));
  }));
  equal('users do not count for each other', counts,
    range(20).map(() => sum(range(6).map((i) => LIMIT - 1 - i))));
}

async function window(urls) {
  const statuses = [];
  for (const i of range(3)) {
    statuses.push((await get(urls[i % 2], '/short?user=w')).status);
  }
  equal('short', statuses.slice(0, 2), [200, 200]);
  await until('the next window', async () => (await get(urls[1], '/short?user=w')).status === 200);
}

async function failuresOnly(urls, parts) {
  for (const i of range(10)) {
    equal('good ones', (await get(urls[i % 2], '/login?user=l')).status, 200);
  }
  const hits = () => parts[0].ask('hits', 'login', 'l');
  await until('good ones are taken back', async () => (await hits()) === 0);
  for (const i of range(3)) {
    equal('bad ones', (await get(urls[i % 2], '/login?user=l&status=401')).status, 401);
  }
  equal('too many bad ones', (await get(urls[0], '/login?user=l')).status, 429);
  await parts[1].ask('reset', 'login', 'l');
  equal('reset', (await get(urls[0], '/login?user=l')).status, 200);
}

if (isPart) {
  await serve(...args);
} else {
  const [host, first, second] = args;
  const prefix = newPrefix('rl');
  const parts = [new Part(import.meta.url, 'redis', host, first, prefix),
    new Part(import.meta.url, 'ioredis', host, second, prefix)];
  const urls = await Promise.all(parts.map((part) => part.ask('address')));
  await exactCount(urls);
  await manyUsers(urls);
  await window(urls);
  await failuresOnly(urls, parts);
  done('express-rate-limit');
}
