// socket.io over its adapters (publish and subscribe, the sharded kind of it, streams): two
// servers, each with its own router; clients of one reach the rooms of the other.

import { createServer } from 'node:http';
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import { createAdapter as createStreamsAdapter } from '@socket.io/redis-streams-adapter';
import Redis from 'ioredis';
import { createClient } from 'redis';
import { Server } from 'socket.io';
import { io as connectSocket } from 'socket.io-client';
import { done, equal, newPrefix, range, until, within } from '../checks.mjs';
import { args } from '../parts.mjs';

const [host, first, second] = args;
const prefix = newPrefix('sio');

async function nodeRedis(port) {
  const client = createClient({ url: `redis://${host}:${port}` });
  client.on('error', () => {});
  await client.connect();
  return client;
}

const kinds = {
  'pub/sub by node-redis': async (port, name) => createAdapter(await nodeRedis(port),
    await nodeRedis(port), { key: name }),
  'pub/sub by ioredis': async (port, name) => createAdapter(new Redis(Number(port), host),
    new Redis(Number(port), host), { key: name, publishOnSpecificResponseChannel: true }),
  'sharded pub/sub': async (port, name) => createShardedAdapter(await nodeRedis(port),
    await nodeRedis(port), { channelPrefix: name }),
  'streams by node-redis': async (port, name) => createStreamsAdapter(await nodeRedis(port),
    { streamName: name, channelPrefix: name, blockTimeInMs: 200 }),
  'streams by ioredis': async (port, name) => createStreamsAdapter(new Redis(Number(port), host),
    { streamName: name, channelPrefix: name, blockTimeInMs: 200, streamCount: 2 }),
};

async function startServer(adapter) {
  const http = createServer();
  const io = new Server(http, { adapter, connectionStateRecovery: undefined });
  io.on('connection', (socket) => {
    socket.on('join', async (room, ack) => {
      await socket.join(room);
      ack();
    });
    socket.on('leave', async (room, ack) => {
      await socket.leave(room);
      ack();
    });
    socket.on('say', (room, text) => socket.to(room).emit('said', text));
  });
  await new Promise((resolve) => { http.listen(0, '127.0.0.1', resolve); });
  return { io, http, url: `http://127.0.0.1:${http.address().port}` };
}

// A client that writes down what it hears and answers questions with its name.
async function startClient(server, name) {
  const socket = connectSocket(server.url, { transports: ['websocket'], forceNew: true });
  const heard = [];
  socket.on('said', (text) => heard.push(text));
  socket.on('question', (text, ack) => ack(`${name}: ${text}`));
  socket.on('blob', (blob) => heard.push([...new Uint8Array(blob)]));
  await within(`${name} connects`, new Promise((resolve) => { socket.once('connect', resolve); }));
  return { socket, heard, name, join: (room) => socket.emitWithAck('join', room),
    leave: (room) => socket.emitWithAck('leave', room) };
}

// Until each server knows of the other and of all sockets.
async function meet(servers, count) {
  await until('the servers meet', async () => {
    const seen = await Promise.all(servers.map(({ io }) => io.fetchSockets().catch(() => [])));
    return seen.every((sockets) => sockets.length === count);
  });
}

async function rooms([one, two], clients) {
  const [a, b, c, d] = clients;
  await Promise.all([a, b, c].map((client) => client.join('news')));
  await meet([one, two], 4);
  one.io.to('news').emit('said', 'to the room');
  const heardBy = (text) => clients.map(({ heard }) => heard.filter((t) => t === text).length);
  await until('the room', async () => heardBy('to the room').join() === '1,1,1,0');
  c.socket.emit('say', 'news', 'from c');
  await until('not who said it', async () => heardBy('from c').join() === '1,1,0,0');
  two.io.emit('said', 'to all');
  await until('all', async () => heardBy('to all').join() === '1,1,1,1');
  two.io.except('news').emit('said', 'to the others');
  await until('the others', async () => heardBy('to the others').join() === '0,0,0,1');
  one.io.local.emit('said', 'here');
  await until('of this server', async () => heardBy('here').join() === '1,1,0,0');
  one.io.to(d.socket.id).emit('said', 'to one');
  await until('one', async () => heardBy('to one').join() === '0,0,0,1');
  await b.leave('news');
  one.io.to('news').emit('said', 'without b');
  await until('who left hears nothing', async () => heardBy('without b').join() === '1,0,1,0');
  range(100).forEach((i) => two.io.to('news').emit('said', i));
  await until('many', async () => a.heard.filter((t) => typeof t === 'number').length === 100);
  equal('in order', a.heard.filter((t) => typeof t === 'number'), range(100));
  one.io.to('news').emit('blob', Buffer.from(range(256)));
  await until('bytes', async () => c.heard.some((t) => t.length === 256));
  equal('the bytes', c.heard.find((t) => t.length === 256), range(256));
}

async function questions([one, two]) {
  const replies = await within('answers', one.io.timeout(10000).emitWithAck('question', 'you?'));
  equal('all answer', replies.sort(), ['a', 'b', 'c', 'd'].map((name) => `${name}: you?`));
  two.io.on('sum', (x, y, ack) => ack(x + y));
  equal('serverSideEmit', await within('a server', one.io.serverSideEmitWithAck('sum', 40, 2)),
    [42]);
  let told = null;
  one.io.on('told', (text) => { told = text; });
  two.io.serverSideEmit('told', '값 ☃');
  await until('told', async () => told === '값 ☃');
}

async function moves([one, two], [a, , c, d]) {
  const inNews = await two.io.in('news').fetchSockets();
  equal('fetchSockets', inNews.map(({ id }) => id).sort(), [a.socket.id, c.socket.id].sort());
  one.io.in(d.socket.id).socketsJoin('late');
  await until('socketsJoin', async () => (await one.io.in('late').fetchSockets()).length === 1);
  two.io.in('news').socketsLeave('news');
  await until('socketsLeave', async () => (await one.io.in('news').fetchSockets()).length === 0);
  const gone = new Promise((resolve) => { d.socket.once('disconnect', resolve); });
  one.io.in('late').disconnectSockets();
  equal('disconnectSockets', await within('to be sent away', gone), 'io server disconnect');
  await meet([one, two], 3);
}

async function oneKind(kind, make) {
  const name = `${prefix}${kind.replaceAll(' ', '-')}`;
  const servers = await Promise.all([first, second].map(async (port) =>
    startServer(await make(port, name))));
  const clients = await Promise.all(['a', 'b', 'c', 'd'].map((client, i) =>
    startClient(servers[i < 2 ? 0 : 1], client)));
  await meet(servers, 4);
  await rooms(servers, clients);
  await questions(servers);
  await moves(servers, clients);
  clients.forEach(({ socket }) => socket.disconnect());
  await Promise.all(servers.map(({ io }) => io.close()));
}

await Promise.all(Object.entries(kinds).map(async ([kind, make]) => {
  try {
    await oneKind(kind, make);
  } catch (error) {
    error.message = `${kind}: ${error.message}`;
    throw error;
  }
}));
done('socket.io');
