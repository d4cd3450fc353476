// What is subscribed to or remembered, and publishing to it.

import { $, make } from '../shared/dom.js';
import { label, locale, say } from '../shared/i18n.js';
import { cells, put, Rows, type Row } from './rows.js';
import type { Server } from './server.js';
import type { Tab } from './tabs.js';

const page = 50;

interface Topic {
  topic: string;
  rule: string;
  subscribers: number;
  messages: number;
  offset: number;
}

interface List {
  topics: Topic[];
  more: boolean;
}

export class Topics implements Tab {
  #pages = 1;
  readonly #rows = new Rows<Topic>(
    $('topics'), ['topic', 'rule', 'subscribers>', 'messages>', 'offset>', 'act'], ({ topic }) => topic, (one) => this.#row(one),
  );

  /** publishTo shows the form, with that topic in it. */
  constructor(readonly server: Server, readonly publishTo: (topic: string) => void) {
    $('topic-filter').addEventListener('submit', (event) => event.preventDefault());
    $('topic-filter').addEventListener('input', () => {
      this.#pages = 1;
      void this.#look();
    });
    $('topics-more').addEventListener('click', () => {
      this.#pages++;
      void this.#look();
    });
  }

  async refresh(): Promise<void> {
    const pattern = $<HTMLInputElement>('topic-pattern').value.trim();
    const all: Topic[] = [];
    let more = true;
    for (let n = 0; more && n < this.#pages; n++) {
      const list = await this.server.ask<List>('topics', { pattern, after: all.at(-1)?.topic, limit: page });
      all.push(...list.topics);
      more = list.more;
    }
    this.#rows.set(all);
    say($('topics-count'), 'topics.count', { count: all.length, more });
    $('topics-more').hidden = !more;
  }

  #row({ topic }: Topic): Row<Topic> {
    const { all, element } = cells(6, [2, 3, 4]);
    element.dataset.topic = topic;
    all[0]!.className = all[1]!.className = 'mono';
    const button = make('button', 'button');
    button.type = 'button';
    say(button, 'topics.publish');
    label(button, 'topics.publish-label', { topic });
    button.addEventListener('click', () => this.publishTo(topic));
    all[5]!.append(button);
    return {
      element,
      show: ({ rule, subscribers, messages, offset }) => {
        const numbers = [subscribers, messages, offset].map((value) => value.toLocaleString(locale()));
        [topic, rule, ...numbers].forEach((text, i) => put(all[i], text));
      },
    };
  }

  /** Refreshes at once, and says what is wrong with the pattern. */
  async #look(): Promise<void> {
    this.server.tell();
    const field = $('topic-pattern');
    try {
      await this.refresh();
      field.removeAttribute('aria-invalid');
    } catch (error) {
      field.setAttribute('aria-invalid', 'true');
      this.server.fail(error);
    }
  }
}

interface Published {
  offset: number;
  subscribers: number;
}

/** Makes the form publish. */
export function setUpPublish(server: Server): void {
  const value = (id: string) => $<HTMLInputElement | HTMLTextAreaElement>(id).value;
  $('publish').addEventListener('submit', (event) => {
    event.preventDefault();
    const topic = value('publish-topic').trim();
    const question = { topic, key: value('publish-key'), data: value('publish-data') };
    void server.act<Published>('publish', question, (answer) => ['done.published', { topic, ...answer }]);
  });
}
