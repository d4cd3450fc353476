// The inbox: what was sent to all, to one's groups and to oneself, from topics that keep it while the page is closed.

import { DuplexError, type Client, type Message, type Subscription } from 'duplex-client';
import { $, make, showError } from '../shared/dom.js';
import { onLanguage, say, t } from '../shared/i18n.js';
import { load, save } from '../shared/store.js';
import { alerts, alertTo } from './alerts.js';
import { groups, topics, type Notice } from './notification.js';
import { Receipts } from './receipts.js';
import { forWhom, moment, words } from './words.js';

const secretKey = 'duplex.notify.inbox';
const groupsKey = 'duplex.notify.groups';

interface Welcome {
  inbox: string;
  now: string;
  since: string;
  groups: Record<string, string>;
  delivered: string[];
  read: string[];
}

interface Item {
  notice: Notice;
  time: number;
  read: boolean;
  /** The page has not had it before. */
  fresh: boolean;
}

export class Inbox {
  private secret = load(localStorage, secretKey) ?? '';
  private mine = new Set((load(localStorage, groupsKey) ?? '').split(',').filter(Boolean));
  private welcome?: Welcome;
  private readonly subscriptions = new Map<string, Subscription<Notice>>();
  private readonly items = new Map<string, Item>();
  private readonly receipts: Receipts;
  private open = ''; // the one that is shown in full
  private missed = 0;
  private entering = Promise.resolve();

  constructor(private readonly client: Client) {
    this.receipts = new Receipts(client, () => this.secret);
    client.on('state', ({ state }) => state === 'open' && this.enter());
    if (client.state === 'open') this.enter();
    alerts();
    this.showGroups();
    $('all-read').onclick = () => {
      for (const id of this.items.keys()) this.markRead(id);
      this.show();
    };
    onLanguage(() => this.show());
    this.show();
  }

  /** Says who is here, one time after the other, so that the last word is the last choice. */
  private enter(): void {
    this.entering = this.entering.then(async () => {
      const question = { inbox: this.secret || undefined, groups: [...this.mine] };
      this.entered(await this.client.request<Welcome>('demo.notify.enter', question, { resend: true }));
      showError($('problem'));
    }).catch((error: unknown) => {
      if (!(error instanceof DuplexError && error.code === 'unanswered')) showError($('problem'), words(error)); // the next connection asks again
    });
  }

  private entered(welcome: Welcome): void {
    if (welcome.inbox !== this.secret) {
      if (this.secret) this.forget();
      this.secret = welcome.inbox;
      save(localStorage, secretKey, this.secret);
    }
    this.welcome = welcome;
    for (const id of welcome.read) if (this.items.has(id)) this.items.get(id)!.read = true; // in another tab, perhaps
    const wanted = new Set([topics.all, topics.inbox(this.secret), ...Object.keys(welcome.groups).map(topics.group)]);
    for (const [topic, subscription] of this.subscriptions) {
      if (wanted.has(topic) && subscription.state !== 'ended') continue;
      void subscription.unsubscribe().catch(() => {});
      this.subscriptions.delete(topic);
    }
    for (const topic of wanted) if (!this.subscriptions.has(topic)) this.follow(topic);
    this.countMissed();
  }

  private follow(topic: string): void {
    this.subscriptions.set(topic, this.client.subscribe<Notice>(topic, {
      last: 100,
      onMessage: (message) => this.take(message),
      onGap: ({ reason }) => {
        if (reason === 'epoch') this.forget();
        else this.lose('gap');
      },
    }));
  }

  /** The server has forgotten what was sent. */
  private forget(): void {
    if (this.items.size > 0) this.lose('forgotten');
    this.items.clear();
    this.missed = 0;
    this.show();
  }

  private lose(how: 'gap' | 'forgotten'): void {
    $('lost').hidden = false;
    say($('lost'), `inbox.${how}`);
  }

  private take({ data: notice, time }: Message<Notice>): void {
    const { since, groups: joined, delivered, read } = this.welcome!;
    const from = notice.to.kind === 'group' ? joined[notice.to.id!] : since;
    if (!from || this.items.has(notice.id) || (notice.to.kind !== 'person' && time < Date.parse(from))) return;
    const fresh = !delivered.includes(notice.id);
    this.items.set(notice.id, { notice, time, fresh, read: read.includes(notice.id) });
    if (fresh) {
      this.receipts.add('delivered', notice.id);
      $('news').textContent = `${t('inbox.new')}: ${notice.title}`; // for who does not see it
      alertTo(notice, () => this.choose(notice.id));
    }
    this.countMissed();
  }

  /** What was sent before the page came, and is new to it. */
  private countMissed(): void {
    const before = Date.parse(this.welcome!.now);
    for (const item of this.items.values()) {
      if (item.fresh && item.time < before) this.missed++;
      item.fresh = false;
    }
    this.show();
  }

  private choose(id: string): void {
    this.open = this.open === id ? '' : id;
    this.markRead(id);
    this.show();
  }

  private markRead(id: string): void {
    const item = this.items.get(id);
    if (!item || item.read) return;
    item.read = true;
    this.receipts.add('read', id);
  }

  // --- what is shown

  private show(): void {
    const all = [...this.items.values()].sort((a, b) => b.time - a.time);
    const unread = all.filter(({ read }) => !read).length;
    const focused = (document.activeElement as HTMLElement | null)?.closest<HTMLElement>('[data-id]')?.dataset.id;
    $('notices').replaceChildren(...all.map((item) => this.item(item)));
    if (focused) $('notices').querySelector<HTMLElement>(`[data-id="${focused}"] button`)?.focus();
    $('nothing').hidden = all.length > 0;
    $('unread').hidden = unread === 0;
    say($('unread'), 'inbox.unread', { n: unread });
    $('all-read').hidden = unread === 0;
    $('missed').hidden = this.missed === 0 || unread === 0;
    say($('missed'), 'inbox.missed', { n: this.missed });
    document.title = `${unread ? `(${unread}) ` : ''}${t('notify.inbox')} · Duplex`;
  }

  private item({ notice, time, read }: Item): HTMLElement {
    const { id, title, text, by, to } = notice;
    const open = this.open === id;
    const stamp = make('time', 'muted small number', moment(time));
    stamp.dateTime = new Date(time).toISOString();
    const what = make('span', 'grow', make('strong', '', title), make('span', 'muted small', t('inbox.from', { by, to: forWhom(to) })));
    const head = make('button', 'summary', make('span', 'mark'), what, stamp);
    head.type = 'button';
    head.setAttribute('aria-expanded', String(open));
    head.onclick = () => this.choose(id);
    if (!read) head.append(make('span', 'sr', t('inbox.new')));
    const element = make('li', read ? 'notice' : 'notice unread', head);
    if (open) element.append(make('p', 'body', text || t('inbox.no-text')));
    element.dataset.id = id;
    return element;
  }

  private showGroups(): void {
    $('groups').replaceChildren(...groups.map((group) => {
      const button = make('button', 'chip');
      button.type = 'button';
      say(button, `group.${group}`);
      button.dataset.group = group;
      button.setAttribute('aria-pressed', String(this.mine.has(group)));
      button.onclick = () => {
        const is = !this.mine.has(group);
        this.mine[is ? 'add' : 'delete'](group);
        button.setAttribute('aria-pressed', String(is));
        save(localStorage, groupsKey, [...this.mine].join(','));
        this.enter();
      };
      return button;
    }));
  }
}
