// Who is connected, to what, and how to end that.

import { $, make } from '../shared/dom.js';
import { label, locale, say } from '../shared/i18n.js';
import { confirm } from './confirm.js';
import { cells, put, Rows, type Row } from './rows.js';
import type { Done, Server } from './server.js';
import type { Tab } from './tabs.js';

const page = 50;

interface Session {
  session: string;
  user: string;
  anonymous: boolean;
  since: number;
  /** The first of them. */
  topics: string[];
  topicCount: number;
  queued: number;
}

interface List {
  sessions: Session[];
  more: boolean;
}

export class Sessions implements Tab {
  #pages = 1;
  readonly #rows = new Rows<Session>(
    $('sessions'), ['session', 'user', 'since', 'topics', 'queued>', 'act'], ({ session }) => session, (one) => this.#row(one),
  );

  constructor(readonly server: Server) {
    $('session-filter').addEventListener('submit', (event) => event.preventDefault());
    $('session-filter').addEventListener('input', () => {
      this.#pages = 1;
      this.refresh().catch((error: unknown) => server.fail(error));
    });
    $('sessions-more').addEventListener('click', () => {
      this.#pages++;
      this.refresh().catch((error: unknown) => server.fail(error));
    });
  }

  async refresh(): Promise<void> {
    const [user, session] = ['session-user', 'session-id'].map((id) => $<HTMLInputElement>(id).value.trim());
    const all: Session[] = [];
    let more = true;
    for (let n = 0; more && n < this.#pages; n++) {
      const list = await this.server.ask<List>('sessions', { user, session, after: all.at(-1)?.session, limit: page });
      all.push(...list.sessions);
      more = list.more;
    }
    this.#rows.set(all);
    say($('sessions-count'), 'sessions.count', { count: all.length, more });
    $('sessions-more').hidden = !more;
  }

  #row({ session, user }: Session): Row<Session> {
    const { all, element } = cells(6, [4]);
    element.dataset.session = session;
    const own = this.server.client.session?.session === session;
    all[0]!.append(make('span', 'mono', session));
    if (own) {
      const pill = make('span', 'pill accent');
      say(pill, 'sessions.own');
      all[0]!.append(' ', pill);
    }
    all[1]!.append(make('span', 'mono', user));
    const [summary, list] = [make('summary'), make('ul', 'subscriptions')];
    all[3]!.append(make('details', '', summary, list));
    const button = make('button', 'button danger');
    button.type = 'button';
    say(button, 'sessions.disconnect');
    label(button, 'sessions.disconnect-label', { session });
    button.addEventListener('click', () => void this.#disconnect(session, user, own));
    all[5]!.append(button);
    return {
      element,
      show: ({ since, topics, topicCount, queued }) => {
        put(all[2], new Date(since).toLocaleString(locale(), { hour12: false }));
        say(summary, 'sessions.topics', { count: topicCount });
        put(all[4], queued.toLocaleString(locale()));
        const shown = topics.join(' ');
        if (list.dataset.topics === shown) return;
        list.dataset.topics = shown;
        list.replaceChildren(...topics.map((topic) => this.#subscription(session, topic)));
        if (topicCount > topics.length) {
          const rest = make('li', 'muted');
          say(rest, 'sessions.others', { count: topicCount - topics.length });
          list.append(rest);
        }
      },
    };
  }

  #subscription(session: string, topic: string): HTMLLIElement {
    const button = make('button', 'quiet danger');
    button.type = 'button';
    say(button, 'sessions.unsubscribe');
    label(button, 'sessions.unsubscribe-label', { topic });
    button.addEventListener('click', () => void this.#unsubscribe(session, topic));
    return make('li', 'row', make('span', 'mono', topic), button);
  }

  async #disconnect(session: string, user: string, own: boolean): Promise<void> {
    const answer = await confirm({
      title: ['ask.disconnect.title', { who: session }],
      lead: [['ask.disconnect.lead'], ...(own ? [['ask.disconnect.own'] as [string]] : [])],
      action: 'ask.disconnect.do',
      choices: { reconnect: ['ask.reconnect'], everywhere: ['ask.everywhere', { user }] },
    });
    if (!answer) return;
    const { message, choices } = answer;
    const who = choices.everywhere ? { user } : { session };
    const question = { ...who, message, reconnect: choices.reconnect };
    await this.server.act<Done>('disconnect', question, ({ count, missing }) => ['done.disconnected', { count }, missing]);
    await this.refresh().catch(() => {}); // it is asked again soon
  }

  async #unsubscribe(session: string, topic: string): Promise<void> {
    const answer = await confirm({
      title: ['ask.unsubscribe.title', { topic }], lead: [['ask.unsubscribe.lead', { who: session }]], action: 'ask.unsubscribe.do',
    });
    if (!answer) return;
    const { message } = answer;
    const question = { session, topic, message };
    await this.server.act<Done>('unsubscribe', question, ({ count, missing }) => ['done.unsubscribed', { count }, missing]);
    await this.refresh().catch(() => {});
  }
}
