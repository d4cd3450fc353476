// The real server.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const repository = path.resolve(import.meta.dirname, '../../..');
const scratch = mkdtempSync(path.join(tmpdir(), 'duplex-client-'));
const program = path.join(scratch, 'duplex');
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

let built = false;
function build(): void {
  if (!built) execFileSync('go', ['build', '-o', program, './cmd/duplex'], { cwd: repository, stdio: 'inherit' });
  built = true;
}

/** A file with this text, for a server's configuration. Its path. */
export function file(name: string, text: string): string {
  const place = path.join(scratch, name);
  writeFileSync(place, text, { mode: 0o600 });
  return place;
}

/** What the topics of the tests keep and tell, unless a test says otherwise. */
export const topics = `
topics:
  - pattern: room.*
    history: {messages: 1000}
    presence: full
  - pattern: short
    history: {messages: 2}
  - pattern: limited
    history: {messages: 1000}
    rate: {publish: 50, burst: 3}
  - pattern: news.>
    history: {messages: 1000}
  - pattern: news
    history: {messages: 1000}
`;

export class Duplex {
  /** Where the session protocol is. */
  url = '';
  private _child: ChildProcess | undefined;
  private _ended: Promise<unknown> = Promise.resolve();

  /** Starts duplex serve with more arguments; on the port of the last run, if there was one. */
  static async start(...args: string[]): Promise<Duplex> {
    build();
    const server = new Duplex();
    await server.run(...args);
    return server;
  }

  async run(...args: string[]): Promise<void> {
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const child = spawn(program, ['serve', '--listen', listen, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this._child = child;
    let printed = '';
    this._ended = new Promise((resolve) => { child.once('exit', resolve); });
    await new Promise<void>((resolve, reject) => {
      const read = (data: Buffer) => {
        printed += data;
        const found = /(http:\S+?:\d+\/)/.exec(printed);
        if (!found) return;
        this.url = `${found[1]!.replace(/^http/, 'ws').replace(/\/$/, '')}/ws`;
        resolve();
      };
      child.stdout!.on('data', read);
      child.stderr!.on('data', (data) => { printed += data; });
      this._ended.then((code) => reject(new Error(`duplex serve ended with ${code}: ${printed}`)));
    });
  }

  /** Runs another command, such as duplex token. Its output. */
  static command(...args: string[]): string {
    build();
    return execFileSync(program, args, { encoding: 'utf8' });
  }

  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this._child?.kill(signal);
    await this._ended;
  }
}
