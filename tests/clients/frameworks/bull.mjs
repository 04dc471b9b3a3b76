// Bull: two processes with workers, each on its own router; queues under their default names in a
// co-located database.

import { EventEmitter } from 'node:events';
import Queue from 'bull';
import Redis from 'ioredis';
import { done, equal, fails, holds, range, sleep, until, within } from '../checks.mjs';
import { answerAs, args, isPart, Part } from '../parts.mjs';

EventEmitter.defaultMaxListeners = 1000; // One for each job that is waited for.
const CONCURRENCY = 10;
const DATABASE = 2;

const processors = {
  emails: async (job) => {
    await sleep(Math.random() * 5);
    return { sent: job.data.i };
  },
  delayed: async () => 'late',
  ranked: async () => 'ranked',
  ticks: async () => 'tick',
  flaky: async (job) => {
    if (job.attemptsMade < job.data.failures) {
      throw new Error(`attempt ${job.attemptsMade + 1}`);
    }
    return 'at last';
  },
  limited: async () => 'limited',
  steps: async (job) => {
    await job.log('began');
    for (const percent of [25, 50, 100]) {
      await job.progress(percent);
    }
    await job.update({ ...job.data, seen: true });
    return job.data.a;
  },
  crash: async (job) => {
    if (!job.data.hung) {
      await job.update({ hung: true });
      await sleep(1e6);
    }
    return 'recovered';
  },
};

const options = {
  limited: { limiter: { max: 4, duration: 400 } },
  crash: { settings: { lockDuration: 1000, stalledInterval: 500, maxStalledCount: 2 } },
};

const open = (name, host, port) => new Queue(name, { redis: { host, port: Number(port),
  db: DATABASE }, ...options[name] });

function work(host, port) {
  const began = {};
  const queues = {};
  answerAs({
    start: async (name) => {
      began[name] = [];
      queues[name] = open(name, host, port);
      queues[name].on('error', (error) => console.error(`worker of ${name}: ${error.message}`));
      // Order is promised to one worker that does one job at a time.
      queues[name].process(['ranked', 'delayed'].includes(name) ? 1 : CONCURRENCY, (job) => {
        began[name].push({ id: job.id, at: Date.now(), made: job.attemptsMade, data: job.data });
        return processors[name](job);
      });
      await queues[name].isReady();
    },
    began: (name) => began[name],
  });
}

const [host, first, second] = args;
const both = async (parts, name, ...rest) => (await Promise.all(
  parts.map((part) => part.ask(name, ...rest)))).flat();

// Listens early: a job that ends before its events are subscribed to is only looked at after 5 s.
async function producer(name, port) {
  const queue = open(name, host, port);
  queue.on('global:completed', () => {}).on('global:failed', () => {});
  await queue.isReady();
  return queue;
}

const finished = (what, jobs) => within(what, Promise.all(jobs.map((job) => job.finished())));

async function exactlyOnce(parts) {
  const producers = [await producer('emails', first), await producer('emails', second)];
  const heard = [];
  producers[0].on('global:completed', (id, result) => heard.push([id, JSON.parse(result).sent]));
  await both(parts, 'start', 'emails');
  const added = await Promise.all(range(100).map((i) => producers[i % 2].add({ i })));
  const bulk = await producers[1].addBulk(range(100).map((i) => ({ data: { i: 100 + i } })));
  const ids = [...added, ...bulk].map((job) => String(job.id));
  equal('ids', new Set(ids).size, 200);
  const results = await finished('all jobs', [...added, ...bulk]);
  equal('results', results.map(({ sent }) => sent), range(200));
  await until('all events', async () => heard.length >= 200);
  equal('each event once', heard.map(([, i]) => i).sort((a, b) => a - b), range(200));
  const began = await both(parts, 'began', 'emails');
  equal('each job once', began.map(({ id }) => id).sort(), [...ids].sort());
  equal('counts', await producers[1].getJobCounts(),
    { waiting: 0, active: 0, completed: 200, failed: 0, delayed: 0, paused: 0 });
  await until('both work', async () => {
    const shares = await Promise.all(parts.map((part) => part.ask('began', 'emails')));
    return shares.every((share) => share.length > 0) || !await producers[0].add({});
  });
  equal('clean', (await producers[0].clean(0, 'completed', 150)).length, 150);
  await producers[0].obliterate({ force: true });
  equal('obliterate', await producers[1].getCompletedCount(), 0);
}

async function delayed(parts) {
  const queue = await producer('delayed', first);
  const jobs = await Promise.all([900, 500, 700].map((delay) => queue.add({ delay }, { delay })));
  const never = await queue.add({}, { delay: 3600000 });
  const soon = await queue.add({ delay: 0 }, { delay: 3600000 });
  await soon.promote();
  await parts[1].ask('start', 'delayed');
  await finished('delayed jobs', [...jobs, soon]);
  const began = await parts[1].ask('began', 'delayed');
  equal('in order', began.map(({ data }) => data.delay).filter(Boolean), [500, 700, 900]);
  for (const job of jobs) {
    const { at } = began.find(({ id }) => id === job.id);
    holds('not before', at >= job.timestamp + job.data.delay, at - job.timestamp);
  }
  await never.remove();
  equal('removed', await queue.getDelayedCount(), 0);
}

async function ranked(parts) {
  const queue = await producer('ranked', first);
  await queue.pause();
  await parts[0].ask('start', 'ranked');
  const jobs = [];
  for (const priority of [3, 1, 2, 1, 3]) {
    jobs.push(await queue.add({ priority }, { priority }));
  }
  jobs.push(await queue.add({ priority: 0 }, { lifo: true }));
  equal('paused', [await queue.isPaused(), await queue.getPausedCount()], [true, 6]);
  equal('nobody works', await parts[0].ask('began', 'ranked'), []);
  await queue.resume();
  await finished('ranked jobs', jobs);
  equal('by priority', (await parts[0].ask('began', 'ranked')).map(({ data }) => data.priority),
    [0, 1, 1, 2, 3, 3]);
}

async function repeated(parts) {
  const queue = await producer('ticks', first);
  await both(parts, 'start', 'ticks');
  await queue.add({ tick: true }, { repeat: { every: 200, limit: 4 } });
  await queue.add({ night: true }, { repeat: { cron: '0 3 * * *', tz: 'Asia/Seoul' } });
  await until('four ticks', async () => (await both(parts, 'began', 'ticks')).length >= 4);
  const crons = (await queue.getRepeatableJobs()).filter(({ cron }) => cron === '0 3 * * *');
  equal('it is known', [crons.length, crons[0].tz], [1, 'Asia/Seoul']);
  await queue.removeRepeatableByKey(crons[0].key);
  equal('removed', await queue.getDelayedCount(), 0);
  const ticks = (await both(parts, 'began', 'ticks')).map(({ id }) => id);
  equal('each tick once, and no fifth', [ticks.length, new Set(ticks).size], [4, 4]);
}

async function flaky(parts) {
  const queue = await producer('flaky', second);
  await both(parts, 'start', 'flaky');
  const job = await queue.add({ failures: 3 },
    { attempts: 4, backoff: { type: 'exponential', delay: 50 } });
  equal('at last', await finished('retries', [job]), ['at last']);
  const made = (await both(parts, 'began', 'flaky')).sort((a, b) => a.at - b.at);
  equal('attempts', made.map((entry) => entry.made), [0, 1, 2, 3]);
  const lost = await queue.add({ failures: 9 }, { attempts: 2, backoff: 10 });
  await fails('lost', 'attempt 2', finished('failing', [lost]));
  equal('failed', (await queue.getFailed()).map((entry) => [entry.id, entry.failedReason]),
    [[lost.id, 'attempt 2']]);
  const stored = await queue.getJob(lost.id);
  await stored.update({ failures: 0 });
  await stored.retry();
  equal('once more', await finished('a retry', [stored]), ['at last']);
}

async function limited(parts) {
  const queue = await producer('limited', first);
  await queue.pause();
  await both(parts, 'start', 'limited');
  const jobs = await queue.addBulk(range(16).map((i) => ({ data: { i } })));
  const resumed = Date.now();
  await queue.resume();
  await finished('limited jobs', jobs);
  const at = (await both(parts, 'began', 'limited')).map((entry) => entry.at).sort((a, b) => a - b);
  equal('all', at.length, 16);
  // When the first was taken is not known: a worker on a busy machine says late that it began.
  const took = at[15] - resumed;
  holds('no faster than the limit', took >= 3 * 400 - 5, took);
}

async function steps(parts) {
  const queue = await producer('steps', second);
  const heard = [];
  for (const name of ['active', 'progress', 'completed']) {
    queue.on(`global:${name}`, (id, data) => heard.push(name === 'progress' ? Number(data) : name));
  }
  const job = await queue.add({ a: 1 }, { jobId: 'mine' });
  equal('an id is there once', [(await queue.add({ a: 2 }, { jobId: 'mine' })).id,
    await queue.getWaitingCount()], ['mine', 1]);
  await parts[0].ask('start', 'steps');
  equal('result', await finished('steps', [job]), [1]);
  const read = await queue.getJob('mine');
  equal('progress and data', [read.progress(), read.data], [100, { a: 1, seen: true }]);
  equal('logs', (await queue.getJobLogs('mine')).logs, ['began']);
  await until('events', async () => heard.includes('completed'));
  equal('in order', heard, ['active', 25, 50, 100, 'completed']);
  // Each router lists its own clients.
  const workers = await (await producer('steps', first)).getWorkers();
  equal('workers are seen in CLIENT LIST', workers.length >= 1, true);
}

// The worker that has the job dies as by kill -9; the other finds the job without a lock.
async function crash([one, two]) {
  const queue = await producer('crash', second);
  await one.ask('start', 'crash');
  const job = await queue.add({});
  await until('it is at work', async () => (await queue.getJob(job.id)).data.hung);
  await one.kill();
  await two.ask('start', 'crash');
  equal('recovered', await finished('recovery', [job]), ['recovered']);
}

if (isPart) {
  work(...args);
} else {
  const parts = [first, second].map((port) => new Part(import.meta.url, host, port));
  await new Redis(Number(first), host, { db: DATABASE }).flushdb();
  await exactlyOnce(parts);
  await Promise.all([delayed, ranked, repeated, flaky].map((part) => part(parts)));
  await Promise.all([limited, steps].map((part) => part(parts)));
  await crash(parts);
  done('bull');
}
