// The tables of what the figures tell: rules, who is slow, and nodes.

import { $, make } from '../shared/dom.js';
import { locale, say } from '../shared/i18n.js';
import type { Counter, Node, RuleRates, Slow } from './figures.js';
import { cells, put, Rows } from './rows.js';

const counters: Counter[] = ['published', 'delivered', 'dropped', 'superseded', 'gaps', 'slow'];

export const whole = (value: number) => Math.round(value).toLocaleString(locale());
export const rate = (value: number) => value.toLocaleString(locale(), { maximumFractionDigits: value < 10 ? 1 : 0 });
const clock = (time: number) => new Date(time).toLocaleTimeString(locale(), { hour12: false });
const bytes = (value: number) => `${(value / 2 ** 20).toLocaleString(locale(), { maximumFractionDigits: 1 })} MB`;

/** What has happened to the topics of each rule, and how much of that a second. */
export function rulesTable(): Rows<RuleRates> {
  const heads = ['rule', 'published>', 'delivered>', 'dropped>', 'superseded>', 'gaps>', 'ended>'];
  return new Rows($('rules'), heads, ({ pattern }) => pattern, () => {
    const { all: [rule, ...others], element } = cells(heads.length, [1, 2, 3, 4, 5, 6]);
    rule!.className = 'mono';
    return {
      element,
      show: ({ pattern, total, rate: now }) => {
        element.dataset.rule = pattern;
        if (pattern) put(rule, pattern);
        else say(rule!, 'rules.none');
        counters.forEach((counter, i) => {
          const second = now[counter] ? rate(now[counter]) : '';
          say(others[i]!, 'rules.rate', { total: whole(total[counter]), rate: second });
        });
      },
    };
  });
}

/** For whom messages wait. */
export function slowTable(): Rows<Slow & { node: string }> {
  return new Rows($('slow'), ['session', 'user', 'node', 'topics>', 'queued>'], ({ session }) => session, () => {
    const { all, element } = cells(5, [3, 4]);
    all[0]!.className = all[1]!.className = 'mono';
    return {
      element,
      show: ({ session, user, node, topics, queued }) => {
        [session, user, node, whole(topics), whole(queued)].forEach((text, i) => put(all[i], text));
      },
    };
  });
}

/** Every node, also one that has not answered since at. */
export function nodesTable(): Rows<{ node: Node; at: number; here: boolean }> {
  const heads = ['node', 'state', 'since', 'connections>', 'sessions>', 'queued>', 'memory>', 'history>', 'goroutines>'];
  return new Rows($('nodes'), heads, ({ node }) => `${node.name} ${node.began}`, () => {
    const { all: [name, status, began, ...others], element } = cells(heads.length, [3, 4, 5, 6, 7, 8]);
    name!.className = 'mono';
    const state = make('span', 'pill');
    status!.append(state);
    return {
      element,
      show: ({ node, at, here }) => {
        element.dataset.node = node.name;
        state.className = `pill ${here ? 'good' : 'bad'}`;
        say(state, here ? 'nodes.up' : 'nodes.gone', here ? undefined : { time: clock(at) });
        put(name, node.name);
        put(began, new Date(node.began).toLocaleString(locale(), { hour12: false }));
        const { connections, sessions, queued, memory, historyBytes, goroutines } = node;
        [whole(connections), whole(sessions), whole(queued), bytes(memory), bytes(historyBytes), whole(goroutines)]
          .forEach((text, i) => put(others[i], text));
      },
    };
  });
}
