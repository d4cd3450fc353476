// The operator's desk: what is planned and what was sent, with receipts as they come. It hears the logs of all notifications through one
// pattern.

import type { Client, Message, Subscription } from 'duplex-client';
import { $, make, showError } from '../shared/dom.js';
import { onLanguage, say, t } from '../shared/i18n.js';
import { operate } from '../shared/operator.js';
import { Notification, topics, type Event, type Receipt, type Summary } from './notification.js';
import { Order, type Person } from './order.js';
import { forWhom, moment, until, words } from './words.js';

interface Overview {
  people: Person[];
  notifications: Summary[];
}

export class Desk {
  private readonly notifications = new Map<string, Notification>(); // by topic
  private readonly people = new Map<string, Person>();
  private readonly order: Order;
  private readonly opened = new Set<string>(); // ids of which the receipts are shown
  private logs?: Subscription<Event>;
  private news?: Subscription<Person>;
  private early?: Message<Event>[]; // what has come since the list was asked for

  constructor(private readonly client: Client) {
    this.order = new Order(client, this.people);
    void operate(client, () => this.begin()).then((admitted) => {
      if (!admitted) this.fail(t('desk.no-key'));
    }, (error: unknown) => this.fail(words(error)));
    setInterval(() => this.tick(), 1000);
    onLanguage(() => this.show());
    this.show();
  }

  /** Follows everything, unless that goes on by itself. */
  private begin(): void {
    if (!this.news || this.news.state === 'ended') {
      this.news = this.client.subscribe<Person>(topics.desk, {
        onMessage: ({ data }) => {
          this.people.set(data.id, data);
          this.show();
        },
      });
    }
    if (this.logs && this.logs.state !== 'ended') return void this.list(); // people may have come
    this.logs = this.client.subscribe<Event>(topics.logs, {
      onMessage: (message) => {
        this.early?.push(message);
        if (!this.early) this.apply(message);
        this.show();
      },
      onState: ({ state, recovered }) => state === 'live' && !recovered && void this.list(),
    });
  }

  /** Asks for what there is. What came since then comes on top of it. */
  private async list(): Promise<void> {
    const early: Message<Event>[] = this.early = [];
    try {
      const { people, notifications } = await this.client.request<Overview>('demo.notify.desk', {}, { resend: true });
      if (this.early !== early) return; // it is asked for anew
      this.people.clear();
      this.notifications.clear();
      for (const person of people) this.people.set(person.id, person);
      for (const summary of notifications) this.notifications.set(summary.log, Notification.of(summary));
      this.early = undefined;
      for (const message of early) this.apply(message);
      this.fail('');
    } catch (error) {
      this.fail(words(error));
    }
    this.show();
  }

  private apply(message: Message<Event>): void {
    let notification = this.notifications.get(message.topic);
    if (!notification) this.notifications.set(message.topic, notification = new Notification());
    notification.apply(message);
  }

  private show(): void {
    this.order.showPeople();
    const all = [...this.notifications.values()].filter(({ notice }) => notice);
    const planned = all.filter(({ waits }) => waits).sort((a, b) => a.at - b.at);
    const sent = all.filter(({ waits }) => !waits).sort((a, b) => b.at - a.at);
    const focused = document.activeElement?.id;
    $('planned').replaceChildren(...planned.map((one) => this.planned(one)));
    $('sent').replaceChildren(...sent.map((one) => this.sent(one)));
    if (focused) document.getElementById(focused)?.focus();
    $('no-planned').hidden = planned.length > 0;
    $('no-sent').hidden = sent.length > 0;
    this.tick();
  }

  private planned({ notice, at }: Notification): HTMLElement {
    const cancel = make('button', 'button danger');
    say(cancel, 'desk.cancel');
    cancel.id = `cancel-${notice!.id}`;
    cancel.onclick = async () => {
      cancel.disabled = true;
      try {
        await this.client.request('demo.notify.cancel', { id: notice!.id }, { resend: true });
        this.fail('');
      } catch (error) {
        this.fail(words(error));
        cancel.disabled = false;
      }
    };
    const countdown = make('span', 'pill info number countdown');
    countdown.dataset.at = String(at);
    const what = make('div', 'grow', make('strong', '', notice!.title), make('p', 'muted small', `${forWhom(notice!.to)} · ${moment(at)}`));
    const element = make('li', 'item', what, countdown, cancel);
    element.dataset.id = notice!.id;
    return element;
  }

  private sent({ notice, at, cancelled, audience, delivered, read }: Notification): HTMLElement {
    const { id, title, text, to } = notice!;
    const open = this.opened.has(id);
    const marks = cancelled ? [make('span', 'pill', t('desk.cancelled'))] : [
      make('span', 'pill info number', t('desk.delivered', { n: delivered.length, of: audience })),
      make('span', 'pill good number', t('desk.read', { n: read.length, of: audience })),
    ];
    const what = make('span', 'grow', make('strong', '', title), make('span', 'muted small', `${forWhom(to)} · ${moment(at)}`));
    const head = make('button', 'summary', what, make('span', 'row marks', ...marks));
    head.type = 'button';
    head.id = `sent-${id}`;
    head.setAttribute('aria-expanded', String(open));
    head.onclick = () => {
      this.opened[open ? 'delete' : 'add'](id);
      this.show();
    };
    const element = make('li', 'item column', head, bar(audience, delivered.length, read.length));
    if (open) element.append(make('p', 'body', text), who(delivered, read));
    element.dataset.id = id;
    return element;
  }

  private tick(): void {
    for (const countdown of document.querySelectorAll<HTMLElement>('.countdown')) countdown.textContent = until(Number(countdown.dataset.at));
  }

  private fail(text: string): void {
    showError($('desk-error'), text);
  }
}

/** How many have got and read it, as a line. */
function bar(audience: number, delivered: number, read: number): HTMLElement {
  const [got, seen] = [make('span', 'got'), make('span', 'seen')];
  const share = (n: number) => `${audience ? Math.min(100, 100 * n / audience) : 0}%`;
  got.style.width = share(delivered);
  seen.style.width = share(read);
  const line = make('div', 'bar', got, seen);
  line.setAttribute('aria-hidden', 'true'); // the figures say the same
  return line;
}

/** Who has got it, and who has read it. */
function who(delivered: Receipt[], read: Receipt[]): HTMLElement {
  if (delivered.length === 0) return make('p', 'muted small', t('desk.nobody'));
  const when = (at: string | number) => moment(typeof at === 'number' ? at : Date.parse(at));
  const rows = delivered.map((receipt) => {
    const opened = read.find((one) => one.who === receipt.who);
    const cells = [when(receipt.at), opened ? when(opened.at) : '–'].map((text) => make('td', 'number', text));
    return make('tr', '', make('td', '', receipt.name), ...cells);
  });
  const titles = (['desk.who', 'desk.got-at', 'desk.read-at'] as const).map((key) => make('th', '', t(key)));
  return make('div', 'wide', make('table', 'table', make('thead', '', make('tr', '', ...titles)), make('tbody', '', ...rows)));
}
