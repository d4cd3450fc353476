// A PostgreSQL server of the tests' own, in a temporary folder, reached through a Unix socket, as internal/pgtest has it for Go.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { until } from './harness.js';

/** Where Debian has the newest version, out of the PATH; elsewhere it is in the PATH. */
function programs() {
  const root = '/usr/lib/postgresql';
  const found = existsSync(root) ? readdirSync(root).map((version) => path.join(root, version, 'bin')).filter((dir) => existsSync(path.join(dir, 'initdb'))) : [];
  return found.sort().at(-1) ?? '';
}

/** Starts it until the test ends. It refuses to run as root, so root runs it as the user postgres. */
export async function startPostgres(t) {
  const bin = programs();
  const at = (program) => path.join(bin, program);
  const as = (program, args) => (process.getuid() === 0 ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', program, ...args]] : [program, args]);
  const dir = mkdtempSync(path.join(tmpdir(), 'pg-')); // short: the path of a socket has about 100 bytes
  if (process.getuid() === 0) execFileSync('chown', ['postgres', dir]);
  const data = path.join(dir, 'data');
  execFileSync(...as(at('initdb'), ['-D', data, '-U', 'duplex', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync', '--no-instructions']), { cwd: '/', stdio: 'pipe' });
  const server = spawn(...as(at('postgres'), ['-D', data, '-k', dir, '-c', 'listen_addresses=', '-c', 'fsync=off']), { cwd: '/', stdio: 'ignore' });
  const ended = new Promise((resolve) => { server.once('exit', resolve); });
  t.after(async () => {
    server.kill('SIGINT');
    await ended;
    if (existsSync(dir)) rmSync(dir, { recursive: true });
  });
  await until(() => spawnSync(at('pg_isready'), ['-q', '-h', dir]).status === 0, 'PostgreSQL answers');
  const dsn = `host=${dir} user=duplex dbname=postgres`;
  return {
    dsn,
    /** Runs a statement as any other program would, and returns what it prints. */
    psql: (statement) => execFileSync('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', dsn, '-c', statement], { encoding: 'utf8' }).trim(),
  };
}
