// A script for Node.js that runs as several processes: it forks itself, and asks its other halves
// by name. A half ends when the script does.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const MARK = '--part';

export class Part {
  // url: import.meta.url of the script; its answers are those that it gave to answerAs().
  constructor(url, ...args) {
    this.asked = new Map();
    this.child = fork(fileURLToPath(url), [MARK, ...args.map(String)]);
    this.child.on('message', ({ id, result, error }) => {
      const { resolve, reject } = this.asked.get(id);
      this.asked.delete(id);
      if (error) {
        reject(new Error(error));
      } else {
        resolve(result);
      }
    });
    this.child.on('exit', (code, signal) => {
      for (const { reject } of this.asked.values()) {
        reject(new Error(`a part ended: ${code ?? signal}`));
      }
    });
  }

  ask(name, ...args) {
    return new Promise((resolve, reject) => {
      const id = Math.random();
      this.asked.set(id, { resolve, reject });
      this.child.send({ id, name, args });
    });
  }

  // As kill -9 does: nothing is tidied up.
  kill() {
    return new Promise((resolve) => {
      this.child.once('exit', resolve);
      this.child.kill('SIGKILL');
    });
  }
}

export const isPart = process.argv[2] === MARK;

// What was given to the part, or host, first port and second port.
export const args = process.argv.slice(isPart ? 3 : 2);

export function answerAs(handlers) {
  process.on('disconnect', () => process.exit(0));
  process.on('message', async ({ id, name, args: given }) => {
    try {
      process.send({ id, result: await handlers[name](...given) });
    } catch (error) {
      process.send({ id, error: error.stack });
    }
  });
}
