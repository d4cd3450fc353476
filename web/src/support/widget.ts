// What the visitor sees of a conversation, over a shop.

import { $ } from '../shared/dom.js';
import { onLanguage, say, t } from '../shared/i18n.js';
import { load, save } from '../shared/store.js';
import { compose, insert } from './composer.js';
import { showGoods } from './goods.js';
import { download, threadAt } from './thread.js';
import type { Visitor } from './visitor.js';

const openKey = 'duplex.support.open';

/** How it stands, as the end of the keys status.… and note.…. */
type Status = 'forgotten' | 'over' | 'agent-away' | 'agent-here' | 'unknown' | 'away' | 'queue' | 'here';

const noted: Status[] = ['forgotten', 'over', 'agent-away', 'away', 'queue'];

export class Widget {
  private readonly field = $<HTMLTextAreaElement>('widget-text');
  private readonly thread = threadAt('visitor', 'widget');

  constructor(private readonly visitor: Visitor) {
    compose({ form: $('widget-form'), field: this.field, send: (text) => visitor.say(text), typing: (yes) => visitor.type(yes) });
    showGoods((name) => {
      this.open(true);
      insert(this.field, t('shop.question', { name }));
    });
    $('launcher').onclick = () => this.open(true);
    $('widget-close').onclick = () => this.open(false);
    $('widget').addEventListener('keydown', ({ key }) => key === 'Escape' && this.open(false));
    $('widget-save').onclick = () => visitor.conversation && download(visitor.conversation);
    $('widget-end').onclick = () => visitor.end();
    $('widget-new').onclick = () => {
      visitor.beginAnew();
      this.field.focus();
    };
    document.addEventListener('visibilitychange', () => this.refresh());
    onLanguage(() => {
      this.thread.clear();
      this.refresh();
    });
    if (load(sessionStorage, openKey)) this.open(true);
    else this.refresh();
  }

  showTyping(yes: boolean): void {
    $('widget-typing').hidden = !yes;
    if (yes) say($('widget-typing'), 'thread.typing', { name: this.visitor.conversation?.agent?.name ?? '' });
  }

  refresh(): void {
    const { conversation, outbox, forgotten } = this.visitor;
    if (!conversation) this.thread.clear();
    if (conversation) this.thread.show(conversation, outbox.pending);
    else this.thread.waits(outbox.pending);
    this.showStatus();
    this.showUnread();
    const over = Boolean(conversation?.closed);
    $('widget-hello').hidden = Boolean(conversation);
    $('widget-save').hidden = !conversation;
    $('widget-foot').hidden = !conversation || forgotten;
    $('widget-end').hidden = over;
    $('widget-new').hidden = !over;
    $('widget-form').hidden = over;
  }

  private open(yes: boolean): void {
    $('widget').hidden = !yes;
    $('launcher').hidden = yes;
    $('launcher').setAttribute('aria-expanded', String(yes));
    save(sessionStorage, openKey, yes ? 'yes' : '');
    this.refresh();
    if (yes) this.thread.toEnd();
    (yes ? this.field : $('launcher')).focus();
  }

  private get status(): Status {
    const { conversation, forgotten, watch, agents } = this.visitor;
    if (forgotten) return 'forgotten';
    if (conversation?.closed) return 'over';
    if (conversation?.agent) return watch.here === false ? 'agent-away' : 'agent-here';
    if (agents === undefined) return 'unknown';
    if (agents === 0) return 'away';
    return conversation ? 'queue' : 'here';
  }

  private showStatus(): void {
    const { status, visitor: { conversation, problem, agents } } = this;
    const name = conversation?.agent?.name;
    say($('widget-status'), `status.${status}`, { name, n: agents });
    const note = problem || (noted.includes(status) ? t(`note.${status}`, { name }) : '');
    $('widget-note').hidden = !note;
    $('widget-note').textContent = note;
    $('widget').dataset.status = status;
  }

  private showUnread(): void {
    const unread = this.visitor.conversation?.unread.visitor ?? [];
    $('launcher-unread').hidden = unread.length === 0;
    $('launcher-unread').textContent = String(unread.length);
    document.title = `${unread.length ? `(${unread.length}) ` : ''}${t('support.shop')} · Duplex`;
    if (unread.length && !$('widget').hidden && !document.hidden) this.visitor.markRead(unread.at(-1)!);
  }
}
