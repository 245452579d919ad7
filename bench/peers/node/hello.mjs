// SPDX-License-Identifier: MIT
// `node hello.mjs piscina|port`: a contender of `rask bench peers`, started by runner_node.c. One thread asks, one answers;
// both in this process, as worker pools of Node.js are. Reads orders on standard input, answers with one line each:
//
//   trips DURATION_NS            one at a time
//   pipeline DEPTH DURATION_NS   DEPTH in flight
//   -> ok CALLS TOOK_NS LATENCY_NS ...      (latencies of calls, of one in 61 in a pipeline), or: error TEXT
import { createInterface } from 'node:readline';
import { openPort } from './port.mjs';

const SAMPLE_EVERY = 61;
const WARM_UP_CALLS = 2000;

// piscina in its fastest configuration for this: one thread that never ends, no statistics, atomics, and as many tasks handed to
// the thread at once as are in flight (by default one, which costs a turn of the event loop each).
async function openPiscina(depth) {
  const { default: Piscina } = await import('piscina');
  const pool = new Piscina({
    filename: new URL('./tasks.mjs', import.meta.url).href,
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: depth,
    atomics: 'sync',
    recordTiming: false,
    idleTimeout: Infinity,
  });
  return { call: (message) => pool.run(message), close: () => pool.destroy() };
}

const open = { piscina: openPiscina, port: openPort };
const message = { first: 'Hello', second: 'World' };

async function callOnce(contender) {
  const answer = await contender.call(message);
  if (answer !== 'Hello World') throw new Error(`the answer was "${answer}"`);
}

async function trips(contender, durationNs) {
  const latencies = [];
  const start = process.hrtime.bigint();
  const until = start + BigInt(durationNs);
  let now = start;
  while (now < until) {
    await callOnce(contender);
    const later = process.hrtime.bigint();
    latencies.push(Number(later - now));
    now = later;
  }
  return { calls: latencies.length, took: now - start, latencies };
}

async function pipeline(contender, depth, durationNs) {
  const latencies = [];
  const start = process.hrtime.bigint();
  const until = start + BigInt(durationNs);
  let calls = 0;
  let end = start;
  let over = false;
  const flow = async () => {
    while (!over) {
      const sent = calls++ % SAMPLE_EVERY === 0 ? process.hrtime.bigint() : 0n;
      await callOnce(contender);
      if (sent === 0n) continue;
      end = process.hrtime.bigint();
      latencies.push(Number(end - sent));
      if (end >= until) over = true;
    }
  };
  await Promise.all(Array.from({ length: depth }, flow));
  return { calls, took: process.hrtime.bigint() - start, latencies };
}

const [, , kind] = process.argv;
const opened = new Map(); // by depth: piscina is configured for it

async function contenderFor(depth) {
  if (!opened.has(depth)) {
    const contender = await open[kind](depth);
    opened.set(depth, contender);
    for (let i = 0; i < WARM_UP_CALLS; i++) await callOnce(contender);
  }
  return opened.get(depth);
}

async function carryOut(line) {
  const [verb, ...numbers] = line.split(' ');
  const depth = verb === 'pipeline' ? Number(numbers.shift()) : 1;
  const contender = await contenderFor(depth);
  const durationNs = Number(numbers[0]);
  const { calls, took, latencies } =
    verb === 'pipeline' ? await pipeline(contender, depth, durationNs) : await trips(contender, durationNs);
  return `ok ${calls} ${took} ${latencies.join(' ')}`;
}

try {
  await contenderFor(1);
  process.stdout.write(`ok 0 0\n`);
} catch (error) {
  process.stdout.write(`error ${error.message.split('\n')[0]}\n`);
  process.exit(1);
}
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await carryOut(line).catch((error) => `error ${error.message.split('\n')[0]}`);
  process.stdout.write(`${answer}\n`);
}
process.exit(0);
