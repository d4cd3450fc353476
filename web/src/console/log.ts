// The last warnings and errors of all nodes.

import { $, make } from '../shared/dom.js';
import { locale } from '../shared/i18n.js';
import { cells, put, Rows } from './rows.js';
import type { Server } from './server.js';
import type { Tab } from './tabs.js';

interface Line {
  node: string;
  time: string;
  level: string;
  text: string;
}

const keyOf = ({ node, time, n }: Line & { n: number }) => `${node} ${time} ${n}`;

export class Log implements Tab {
  readonly #rows = new Rows<Line & { n: number }>($('errors'), ['time', 'level', 'text', 'node'], keyOf, (line) => {
    const { all, element } = cells(4);
    all[2]!.className = 'words';
    all[3]!.className = 'mono';
    all[1]!.append(make('span', `pill ${line.level.startsWith('ERROR') ? 'bad' : 'warn'}`, line.level));
    put(all[2], line.text);
    put(all[3], line.node);
    return { element, show: ({ time }) => put(all[0], new Date(time).toLocaleString(locale(), { hour12: false })) };
  });

  constructor(readonly server: Server) {}

  async refresh(): Promise<void> {
    const { lines } = await this.server.ask<{ lines: Line[] }>('errors');
    const seen = new Map<string, number>(); // several in one moment
    this.#rows.set(lines.map((line) => {
      const n = (seen.get(line.node + line.time) ?? 0) + 1;
      seen.set(line.node + line.time, n);
      return { ...line, n };
    }));
    $('errors').hidden = lines.length === 0;
    $('errors-none').hidden = lines.length > 0;
  }
}
