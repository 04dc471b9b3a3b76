// connect-redis under express-session: two web servers, each with its own router, one user.

import express from 'express';
import session from 'express-session';
import { RedisStore } from 'connect-redis';
import { createClient } from 'redis';
import { done, equal, holds, newPrefix, range, until } from '../checks.mjs';
import { args } from '../parts.mjs';

const [host, first, second] = args;
const prefix = newPrefix('sess');

function routes(app) {
  app.post('/login/:user', (req, res, next) => {
    // As the manual says: a new id at login, so that nobody can have planted it.
    req.session.regenerate((error) => {
      if (error) {
        next(error);
        return;
      }
      req.session.user = req.params.user;
      req.session.visits = 0;
      req.session.cart = { items: ['키보드', '☃'], total: 12.5 };
      res.json({ id: req.sessionID });
    });
  });
  app.get('/visit', (req, res) => {
    if (!req.session.user) {
      res.status(401).json({});
      return;
    }
    req.session.visits += 1;
    res.json({ user: req.session.user, visits: req.session.visits, cart: req.session.cart });
  });
  app.get('/look', (req, res) => res.json({ user: req.session.user ?? null }));
  app.post('/short/:ms', (req, res) => {
    req.session.user = 'short';
    req.session.cookie.maxAge = Number(req.params.ms);
    res.json({});
  });
  app.post('/logout', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.json({})));
  });
}

async function startServer(port) {
  const client = createClient({ url: `redis://${host}:${port}` });
  await client.connect();
  const store = new RedisStore({ client, prefix, ttl: 500 });
  const app = express();
  app.use(session({ store, secret: 'secret', resave: false, saveUninitialized: false }));
  routes(app);
  const server = await new Promise((resolve) => {
    const made = app.listen(0, '127.0.0.1', () => resolve(made));
  });
  return { client, store, server, url: `http://127.0.0.1:${server.address().port}` };
}

class Browser {
  async ask(server, method, path) {
    const headers = this.cookie ? { cookie: this.cookie } : {};
    const reply = await fetch(server.url + path, { method, headers });
    const cookie = reply.headers.get('set-cookie');
    if (cookie) {
      this.cookie = cookie.split(';')[0];
    }
    return { status: reply.status, body: await reply.json() };
  }
}

const [one, two] = await Promise.all([startServer(first), startServer(second)]);

async function login() {
  const browser = new Browser();
  equal('nobody', (await browser.ask(one, 'GET', '/visit')).status, 401);
  equal('nothing is stored for nobody', await one.client.keys(`${prefix}*`), []);
  const { id } = (await browser.ask(one, 'POST', '/login/ann')).body;
  equal('the key', await two.client.exists(prefix + id), 1);
  const wanted = { user: 'ann', visits: 1, cart: { items: ['키보드', '☃'], total: 12.5 } };
  equal('seen by the other', (await browser.ask(two, 'GET', '/visit')).body, wanted);
  const again = (await browser.ask(one, 'POST', '/login/ann')).body.id;
  holds('a new id at each login', again !== id, again);
  equal('the old one is gone', await two.client.exists(prefix + id), 0);
  return { browser, id: again };
}

async function touch({ browser, id }) {
  const key = prefix + id;
  await two.client.expire(key, 100);
  equal('look', (await browser.ask(one, 'GET', '/look')).body.user, 'ann');
  const ttl = await two.client.ttl(key);
  holds('touched', ttl > 400 && ttl <= 500, ttl);
}

async function logout({ browser, id }) {
  equal('logout', (await browser.ask(two, 'POST', '/logout')).status, 200);
  equal('no key', await one.client.exists(prefix + id), 0);
  equal('logged out everywhere', (await browser.ask(one, 'GET', '/visit')).status, 401);
}

async function expiry() {
  const browser = new Browser();
  await browser.ask(one, 'POST', '/short/1000');
  equal('short', (await browser.ask(two, 'GET', '/look')).body.user, 'short');
  // Not by asking for the page: that would touch the session.
  await until('its end', async () => (await one.client.keys(`${prefix}*`)).length === 0);
  equal('nobody again', (await browser.ask(two, 'GET', '/look')).body.user, null);
}

// Each request sees what the one before it wrote, whichever server it comes to.
async function manyUsers() {
  await Promise.all(range(20).map(async (user) => {
    const browser = new Browser();
    await browser.ask(user % 2 ? one : two, 'POST', `/login/u${user}`);
    for (const visit of range(10)) {
      const { body } = await browser.ask((user + visit) % 2 ? one : two, 'GET', '/visit');
      equal(`visit ${visit}`, [body.user, body.visits], [`u${user}`, visit + 1]);
    }
  }));
}

// Many requests of one page at once: each is answered from the session as it was or as it is.
async function onePage() {
  const browser = new Browser();
  await browser.ask(one, 'POST', '/login/many');
  const replies = await Promise.all(range(60).map((i) => browser.ask(i % 2 ? one : two, 'GET',
    '/visit')));
  equal('all know the user', replies.every(({ body }) => body.user === 'many'), true);
  await browser.ask(one, 'POST', '/logout');
}

async function administration() {
  equal('length', await one.store.length(), 20);
  const ids = await two.store.ids();
  equal('ids', new Set(ids).size, 20);
  const all = await one.store.all();
  equal('all', all.map((entry) => entry.user).sort(), range(20).map((i) => `u${i}`).sort());
  equal('all with their ids', new Set(all.map((entry) => entry.id)), new Set(ids));
  await two.store.destroy(ids[0]);
  equal('destroyed', await one.store.get(ids[0]), null);
  await two.store.clear();
  equal('cleared', await one.store.length(), 0);
}

const user = await login();
await touch(user);
await logout(user);
await expiry();
await manyUsers();
await onePage();
await administration();
done('connect-redis');
