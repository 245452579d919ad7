// SPDX-License-Identifier: MIT
// worker_threads without a pool: a MessagePort, answers in the order of requests, so no numbers are needed. In a worker
// this file is the answering side.
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import join from './tasks.mjs';

if (!isMainThread) parentPort.on('message', (message) => parentPort.postMessage(join(message)));

export async function openPort() {
  const worker = new Worker(new URL(import.meta.url));
  const waiting = [];
  let next = 0; // shift() of a long array is slow
  worker.on('message', (answer) => {
    const resolve = waiting[next];
    waiting[next++] = undefined;
    if (next === waiting.length) next = waiting.length = 0;
    resolve(answer);
  });
  return {
    call: (message) =>
      new Promise((resolve) => {
        waiting.push(resolve);
        worker.postMessage(message);
      }),
    close: () => worker.terminate(),
  };
}
