// BullMQ: two processes with workers, each on its own router; queues under their default names in
// a co-located database.

import { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } from 'bullmq';
import Redis from 'ioredis';
import { done, equal, fails, holds, newPrefix, range, sleep, until, within } from '../checks.mjs';
import { answerAs, args, isPart, Part } from '../parts.mjs';

const DATABASE = 1;
const CONCURRENCY = 10;

const connect = (host, port) => ({ host, port: Number(port), db: DATABASE,
  maxRetriesPerRequest: null });

// What the workers do with a job of a queue. Each notes when it began.
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
    if (job.data.hopeless) {
      throw new UnrecoverableError('hopeless');
    }
    return 'at last';
  },
  limited: async () => 'limited',
  orders: async (job) => {
    const values = Object.values(await job.getChildrenValues());
    return { sum: values.reduce((total, { value }) => total + value, 0) };
  },
  items: async (job) => {
    if (job.data.broken) {
      throw new UnrecoverableError('broken item');
    }
    return { value: job.data.value };
  },
  steps: async (job) => {
    await job.log('began');
    for (const percent of [25, 50, 100]) {
      await job.updateProgress(percent);
    }
    await job.updateData({ ...job.data, seen: true });
    await job.log('ended');
    return job.name;
  },
  crash: async (job) => {
    if (job.data.hang && job.stalledCounter === 0) {
      await sleep(1e6);
    }
    return 'recovered';
  },
};

const options = {
  emails: { concurrency: CONCURRENCY },
  limited: { concurrency: CONCURRENCY, limiter: { max: 4, duration: 400 } },
  crash: { lockDuration: 1000, stalledInterval: 500, maxStalledCount: 2 },
};

function work(host, port) {
  const began = {};
  const workers = {};
  answerAs({
    start: async (name) => {
      began[name] = [];
      workers[name] = new Worker(name, async (job) => {
        began[name].push({ id: job.id, name: job.name, at: Date.now(), made: job.attemptsMade });
        return processors[name](job);
      }, { connection: connect(host, port), ...options[name] });
      workers[name].on('error', (error) => console.error(`worker of ${name}: ${error.message}`));
      await workers[name].waitUntilReady();
    },
    began: (name) => began[name],
    stop: (name) => workers[name].close(),
  });
}

const [host, first, second] = args;
const both = async (parts, name, ...rest) => (await Promise.all(
  parts.map((part) => part.ask(name, ...rest)))).flat();
const openQueue = (name, port = first) =>
  new Queue(name, { connection: connect(host, port) }).setMaxListeners(100);

async function openEvents(name, port = second) {
  const events = new QueueEvents(name, { connection: connect(host, port) });
  await events.waitUntilReady();
  return events;
}

async function exactlyOnce(parts) {
  const producers = [openQueue('emails', first), openQueue('emails', second)];
  const events = await openEvents('emails');
  const heard = [];
  events.on('completed', ({ jobId, returnvalue }) => heard.push([jobId, returnvalue.sent]));
  await both(parts, 'start', 'emails');
  const added = await Promise.all(range(100).map((i) => producers[i % 2].add('send', { i })));
  const bulk = await producers[0].addBulk(range(100).map((i) => ({ name: 'bulk',
    data: { i: 100 + i } })));
  const ids = [...added, ...bulk].map((job) => job.id);
  equal('ids', new Set(ids).size, 200);
  await until('all are done', async () => heard.length >= 200);
  equal('each result once', heard.map(([, i]) => i).sort((a, b) => a - b), range(200));
  const began = await both(parts, 'began', 'emails');
  equal('each job once', began.map(({ id }) => id).sort(), [...ids].sort());
  const counts = await producers[1].getJobCounts();
  equal('counts', [counts.completed, counts.waiting, counts.active, counts.failed], [200, 0, 0, 0]);
  const last = await producers[1].getJob(ids[199]);
  equal('a job', [last.name, last.data, last.returnvalue, await last.getState()],
    ['bulk', { i: 199 }, { sent: 199 }, 'completed']);
  await until('both work', async () => {
    const shares = await Promise.all(parts.map((part) => part.ask('began', 'emails')));
    return shares.every((share) => share.length > 0) || !await producers[0].add('more', {});
  });
  const cleaned = await producers[0].clean(0, 150, 'completed');
  equal('clean', [cleaned.length, await producers[0].getCompletedCount() >= 50], [150, true]);
  await producers[0].pause();
  await producers[0].obliterate({ force: true });
  equal('obliterate', await producers[1].getJobCountByTypes('completed'), 0);
}

async function delayed(parts) {
  const queue = openQueue('delayed');
  const events = await openEvents('delayed');
  const jobs = await queue.addBulk([900, 500, 700].map((delay) => ({ name: `d${delay}`,
    data: {}, opts: { delay } })));
  const never = await queue.add('never', {}, { delay: 3600000 });
  const soon = await queue.add('soon', {}, { delay: 3600000 });
  equal('delayed', await queue.getDelayedCount(), 5);
  await soon.promote();
  await parts[1].ask('start', 'delayed');
  await within('delayed jobs', Promise.all([...jobs, soon].map((job) => job.waitUntilFinished(
    events))));
  const began = await parts[1].ask('began', 'delayed');
  equal('in order', began.map(({ name }) => name).filter((name) => name !== 'soon'),
    ['d500', 'd700', 'd900']);
  for (const job of jobs) {
    const { at } = began.find(({ id }) => id === job.id);
    holds('not before', at >= job.timestamp + job.opts.delay, at - job.timestamp);
  }
  await never.changeDelay(7200000);
  await never.remove();
  equal('removed', await queue.getDelayedCount(), 0);
}

async function ranked(parts) {
  const queue = openQueue('ranked');
  const events = await openEvents('ranked');
  await queue.pause();
  equal('paused', await queue.isPaused(), true);
  await parts[0].ask('start', 'ranked');
  const jobs = [];
  for (const priority of [3, 1, 2, 0, 1, 3]) {
    jobs.push(await queue.add(`p${priority}`, {}, { priority }));
  }
  jobs.push(await queue.add('lifo', {}, { lifo: true }));
  equal('nobody works', await parts[0].ask('began', 'ranked'), []);
  equal('changed', await jobs[5].changePriority({ priority: 2 }), undefined);
  await queue.resume();
  await within('ranked jobs', Promise.all(jobs.map((job) => job.waitUntilFinished(events))));
  equal('by priority', (await parts[0].ask('began', 'ranked')).map(({ name }) => name),
    ['lifo', 'p0', 'p1', 'p1', 'p2', 'p3', 'p3']);
}

async function repeated(parts) {
  const queue = openQueue('ticks');
  await both(parts, 'start', 'ticks');
  await queue.upsertJobScheduler('clock', { every: 150, limit: 4 }, { name: 'tick' });
  await until('four ticks', async () => (await both(parts, 'began', 'ticks')).length >= 4);
  await queue.upsertJobScheduler('nightly', { pattern: '0 3 * * *', tz: 'Asia/Seoul' },
    { name: 'night', data: { a: 1 } });
  const schedulers = (await queue.getJobSchedulers()).map(({ key, pattern }) => [key, pattern]);
  equal('schedulers', schedulers.find(([key]) => key === 'nightly'), ['nightly', '0 3 * * *']);
  const [night] = await queue.getDelayed();
  equal('the next night', [night.name, night.data], ['night', { a: 1 }]);
  equal('removed', await queue.removeJobScheduler('nightly'), true);
  const ticks = (await both(parts, 'began', 'ticks')).map(({ id }) => id);
  equal('each tick once, and no fifth', [ticks.length, new Set(ticks).size], [4, 4]);
}

async function flaky(parts) {
  const queue = openQueue('flaky');
  const events = await openEvents('flaky');
  const failed = [];
  events.on('failed', ({ failedReason }) => failed.push(failedReason));
  await both(parts, 'start', 'flaky');
  const job = await queue.add('flaky', { failures: 3 },
    { attempts: 4, backoff: { type: 'exponential', delay: 50 } });
  equal('at last', await within('retries', job.waitUntilFinished(events)), 'at last');
  const made = (await both(parts, 'began', 'flaky')).sort((a, b) => a.at - b.at);
  equal('attempts', made.map((entry) => entry.made), [0, 1, 2, 3]);
  for (const i of range(3)) {
    const waited = made[i + 1].at - made[i].at;
    holds('backs off', waited >= 50 * 2 ** i - 5, waited);
  }
  const lost = await queue.add('lost', { failures: 9 }, { attempts: 2, backoff: 10 });
  await fails('lost', 'attempt 2', within('failing', lost.waitUntilFinished(events)));
  const hopeless = await queue.add('hopeless', { failures: 0, hopeless: true }, { attempts: 5 });
  await fails('hopeless', 'hopeless', within('failing', hopeless.waitUntilFinished(events)));
  await until('events', async () => failed.length >= 2);
  equal('failed', [await queue.getFailedCount(), [...failed].sort()],
    [2, ['attempt 2', 'hopeless']]);
  const stored = await queue.getJob(lost.id);
  equal('its reason', [stored.failedReason, stored.attemptsMade, stored.stacktrace.length],
    ['attempt 2', 2, 2]);
  await stored.updateData({ failures: 0 });
  await stored.retry();
  equal('once more', await within('a retry', stored.waitUntilFinished(events)), 'at last');
}

async function limited(parts) {
  const queue = openQueue('limited');
  const events = await openEvents('limited');
  await queue.pause();
  await both(parts, 'start', 'limited');
  const jobs = await queue.addBulk(range(16).map((i) => ({ name: 'l', data: { i } })));
  const resumed = Date.now();
  await queue.resume();
  await within('limited jobs', Promise.all(jobs.map((job) => job.waitUntilFinished(events))));
  const at = (await both(parts, 'began', 'limited')).map((entry) => entry.at).sort((a, b) => a - b);
  equal('all', at.length, 16);
  // Windows are counted from their first job: 16 jobs need four of them, whoever works. When the
  // first was taken is not known: a worker on a busy machine says late that it began.
  const took = at[15] - resumed;
  holds('no faster than the limit', took >= 3 * 400 - 5, took);
}

async function flows(parts) {
  const flow = new FlowProducer({ connection: connect(host, second) });
  const events = await openEvents('orders', first);
  await Promise.all(['orders', 'items'].map((name) => both(parts, 'start', name)));
  const child = (value) => ({ name: 'item', queueName: 'items', data: { value } });
  const tree = await flow.add({ name: 'order', queueName: 'orders', children: [
    child(1), child(2), { ...child(39), children: [child(7)] }] });
  equal('of its children', await within('a flow', tree.job.waitUntilFinished(events)),
    { sum: 42 });
  const read = await flow.getFlow({ id: tree.job.id, queueName: 'orders' });
  equal('the tree', [read.children.length, read.children.flatMap((node) => node.children ?? [])
    .length], [3, 1]);
  const bad = await flow.add({ name: 'order', queueName: 'orders', children: [
    child(1), { ...child(2), data: { broken: true }, opts: { failParentOnFailure: true } }] });
  await fails('fails with its child', 'failed', within('a bad flow',
    bad.job.waitUntilFinished(events)));
}

async function steps(parts) {
  const queue = openQueue('steps');
  const events = await openEvents('steps');
  const heard = [];
  for (const name of ['added', 'waiting', 'active', 'progress', 'completed']) {
    events.on(name, (event) => heard.push(name === 'progress' ? event.data : name));
  }
  const job = await queue.add('first', { a: 1 }, { jobId: 'mine' });
  equal('an id is there once', [(await queue.add('second', { a: 2 }, { jobId: 'mine' })).id,
    await queue.getWaitingCount()], ['mine', 1]);
  const one = await queue.add('d', {}, { deduplication: { id: 'd', ttl: 60000 } });
  const two = await queue.add('d', {}, { deduplication: { id: 'd', ttl: 60000 } });
  equal('deduplicated', one.id, two.id);
  await parts[0].ask('start', 'steps');
  equal('result', await within('steps', job.waitUntilFinished(events)), 'first');
  await within('d', one.waitUntilFinished(events));
  const read = await queue.getJob('mine');
  equal('progress and data', [read.progress, read.data], [100, { a: 1, seen: true }]);
  equal('logs', (await queue.getJobLogs('mine')).logs, ['began', 'ended']);
  await until('events', async () => heard.filter((name) => name === 'completed').length === 2);
  equal('in order', heard.filter((name) => typeof name === 'number'), [25, 50, 100, 25, 50, 100]);
  const workers = await queue.getWorkers(); // Of the same router.
  equal('workers are seen in CLIENT LIST', workers.length >= 1, true);
}

// The worker that has the job dies as by kill -9; the other finds the job without a lock.
async function crash([one, two]) {
  const queue = openQueue('crash');
  const events = await openEvents('crash');
  const stalled = [];
  events.on('stalled', ({ jobId }) => stalled.push(jobId));
  await one.ask('start', 'crash');
  const job = await queue.add('hang', { hang: true });
  await until('it is at work', async () => (await one.ask('began', 'crash')).length === 1);
  await one.kill();
  await two.ask('start', 'crash');
  equal('recovered', await within('recovery', job.waitUntilFinished(events)), 'recovered');
  equal('it was stalled', stalled, [job.id]);
}

// In database 0 a hash tag in the prefix keeps a queue on one shard.
async function tagged() {
  const prefix = newPrefix('{bull}');
  const options0 = (port) => ({ connection: { ...connect(host, port), db: 0 }, prefix });
  const queue = new Queue('tagged', options0(first));
  const seen = [];
  const worker = new Worker('tagged', async (job) => { seen.push(job.data.n); },
    { ...options0(second), concurrency: 5 });
  for (const n of range(30)) {
    await queue.add('job', { n }, { delay: n % 3 ? 0 : 50, priority: n % 4 });
  }
  await until('all jobs', async () => (await queue.getJobCounts('completed')).completed === 30);
  equal('each once', [...seen].sort((a, b) => a - b), range(30));
  await worker.close();
  await queue.obliterate();
}

if (isPart) {
  work(...args);
} else {
  const parts = [first, second].map((port) => new Part(import.meta.url, host, port));
  const redis = new Redis(connect(host, first));
  await redis.flushdb();
  await exactlyOnce(parts);
  await Promise.all([delayed, ranked, repeated, flaky].map((part) => part(parts)));
  await Promise.all([limited, flows, steps, tagged].map((part) => part(parts)));
  await crash(parts);
  done('bullmq');
}
