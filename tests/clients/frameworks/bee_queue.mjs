// Bee-Queue: two processes with workers, each on its own router; queues under their default names
// in a co-located database.

import Queue from 'bee-queue';
import Redis from 'ioredis';
import { done, equal, holds, range, sleep, until, within } from '../checks.mjs';
import { answerAs, args, isPart, Part } from '../parts.mjs';

const CONCURRENCY = 10;
const DATABASE = 3;

const processors = {
  addition: async (job) => {
    await sleep(Math.random() * 5);
    return job.data.x + job.data.y;
  },
  delayed: async (job) => job.data.name,
  flaky: async (job) => {
    if (job.options.retries > job.data.until) {
      throw new Error(`${job.options.retries} left`);
    }
    return 'at last';
  },
  steps: async (job) => {
    for (const percent of [20, 60, 100]) {
      job.reportProgress({ percent });
    }
    return 'stepped';
  },
  crash: async (job, mayHang) => {
    if (mayHang) {
      await sleep(1e6);
    }
    return 'recovered';
  },
};

const open = (name, host, port, options) => new Queue(name, { redis: { host, port: Number(port),
  db: DATABASE }, activateDelayedJobs: name === 'delayed' || name === 'flaky',
stallInterval: 1000, ...options });

function work(host, port) {
  const began = {};
  const queues = {};
  answerAs({
    start: async (name, mayHang) => {
      began[name] = [];
      queues[name] = open(name, host, port);
      queues[name].on('error', (error) => console.error(`worker of ${name}: ${error.message}`));
      await queues[name].ready();
      // Order is promised to one worker that does one job at a time.
      queues[name].process(name === 'delayed' ? 1 : CONCURRENCY, (job) => {
        began[name].push({ id: job.id, at: Date.now() });
        return processors[name](job, mayHang);
      });
      await queues[name].checkStalledJobs(500);
    },
    began: (name) => began[name],
    stop: (name) => queues[name].close(),
  });
}

const [host, first, second] = args;
const both = async (parts, name, ...rest) => (await Promise.all(
  parts.map((part) => part.ask(name, ...rest)))).flat();
const producer = async (name, port = first) => open(name, host, port, { isWorker: false,
  storeJobs: true }).ready();
const event = (what, job, name) => within(what, new Promise((resolve) => {
  job.once(name, resolve);
}));

async function exactlyOnce(parts) {
  const producers = [await producer('addition', first), await producer('addition', second)];
  await both(parts, 'start', 'addition', false);
  const sums = [];
  for (const queue of producers) {
    queue.on('job succeeded', (id, result) => sums.push([id, result]));
  }
  const jobs = await Promise.all(range(100).map(async (i) => {
    const job = producers[i % 2].createJob({ x: i, y: 1000 });
    const result = event(`job ${i}`, job, 'succeeded');
    await job.save();
    return [job.id, await result];
  }));
  equal('results', jobs.map(([, result]) => result), range(100).map((i) => i + 1000));
  const bulk = range(100).map((i) => producers[0].createJob({ x: i, y: 2000 }));
  equal('saveAll', [...await producers[0].saveAll(bulk)], []);
  const began = async () => (await both(parts, 'began', 'addition'));
  await until('the rest', async () => (await producers[1].checkHealth()).succeeded === 200);
  const ids = [...jobs.map(([id]) => id), ...bulk.map((job) => job.id)];
  equal('each job once', (await began()).map(({ id }) => id).sort(), [...ids].sort());
  await until('events of both', async () => sums.length >= 400);
  equal('each event once', sums.length, 400);
  const health = await producers[0].checkHealth();
  equal('health', [health.waiting, health.active, health.failed, health.delayed], [0, 0, 0, 0]);
  const stored = await producers[1].getJob(ids[7]);
  equal('a stored job', [stored.data, stored.status], [{ x: 7, y: 1000 }, 'succeeded']);
  await until('both work', async () => {
    const shares = await Promise.all(parts.map((part) => part.ask('began', 'addition')));
    return shares.every((share) => share.length > 0) ||
      !await producers[0].createJob({ x: 1, y: 1 }).save();
  });
  equal('getJobs', (await producers[1].getJobs('succeeded', { size: 50 })).length > 0, true);
}

async function delayed(parts) {
  const queue = await producer('delayed');
  await parts[1].ask('start', 'delayed', false);
  const at = Date.now();
  const jobs = [900, 500, 700].map((delay) => queue.createJob({ name: `d${delay}` })
    .delayUntil(at + delay));
  const results = jobs.map((job) => event('a delayed job', job, 'succeeded'));
  for (const job of jobs) {
    await job.save();
  }
  equal('delayed', (await queue.checkHealth()).delayed > 0, true);
  equal('results', await Promise.all(results), ['d900', 'd500', 'd700']);
  const began = await parts[1].ask('began', 'delayed');
  equal('in order', began.map(({ id }) => id), [jobs[1].id, jobs[2].id, jobs[0].id]);
  holds('not before', began[0].at >= at + 500, began[0].at - at);
  const never = await queue.createJob({}).delayUntil(at + 3600000).save();
  await queue.removeJob(never.id);
  equal('removed', [await queue.getJob(never.id), (await queue.checkHealth()).delayed], [null, 0]);
}

async function flaky(parts) {
  const queue = await producer('flaky', second);
  await both(parts, 'start', 'flaky', false);
  const job = queue.createJob({ until: 1 }).retries(4).backoff('exponential', 50);
  const retries = [];
  job.on('retrying', (error) => retries.push(error.message));
  const result = event('retries', job, 'succeeded');
  await job.save();
  equal('at last', await result, 'at last');
  equal('its retries', retries, ['4 left', '3 left', '2 left']);
  const lost = queue.createJob({ until: -1 }).retries(1);
  const failed = event('failing', lost, 'failed');
  await lost.save();
  equal('lost', (await failed).message, '0 left');
  equal('counted', (await queue.checkHealth()).failed, 1);
  const again = await queue.getJob(lost.id);
  equal('it knows', again.status, 'failed');
}

async function steps(parts) {
  const queue = await producer('steps', second);
  const job = queue.createJob({}).setId('mine');
  const percents = [];
  job.on('progress', ({ percent }) => percents.push(percent));
  const result = event('steps', job, 'succeeded');
  await job.save();
  equal('an id is there once', (await queue.createJob({ other: 1 }).setId('mine').save()).id, null);
  await parts[0].ask('start', 'steps', false);
  equal('result', await result, 'stepped');
  equal('progress', percents, [20, 60, 100]);
}

// The worker that has the job dies as by kill -9; the other finds that it stalled.
async function crash([one, two]) {
  const queue = await producer('crash', second);
  await one.ask('start', 'crash', true);
  const job = queue.createJob({}).retries(2);
  const result = event('recovery', job, 'succeeded');
  await job.save();
  await until('it is at work', async () => (await one.ask('began', 'crash')).length === 1);
  await one.kill();
  await two.ask('start', 'crash', false);
  equal('recovered', await result, 'recovered');
}

if (isPart) {
  work(...args);
} else {
  const parts = [first, second].map((port) => new Part(import.meta.url, host, port));
  await new Redis(Number(first), host, { db: DATABASE }).flushdb();
  await exactlyOnce(parts);
  await Promise.all([delayed, flaky, steps].map((part) => part(parts)));
  await crash(parts);
  done('bee-queue');
}
