// The visitor's side: a shop, and a widget in which one asks. The id of the conversation is all that the browser keeps.

import type { Client, Subscription } from 'duplex-client';
import { $ } from '../shared/dom.js';
import { onLanguage, say, t } from '../shared/i18n.js';
import { load as remembered, save } from '../shared/store.js';
import { compose, insert } from './composer.js';
import { topics, type Conversation, type Event } from './conversation.js';
import { showGoods } from './goods.js';
import { Live } from './live.js';
import { load, Watch } from './load.js';
import { hasCode, Outbox, words } from './outbox.js';
import { download, threadAt } from './thread.js';

const storageKey = 'duplex.support';

export function visit(client: Client): void {
  const field = $<HTMLTextAreaElement>('widget-text');
  const thread = threadAt('visitor', 'widget');
  const outbox = new Outbox(client, current, () => refresh(), mend);
  const watch = new Watch();
  let id = remembered(localStorage, storageKey) ?? '';
  let beginning: Promise<string> | undefined;
  let conversation: Conversation | undefined;
  let subscription: Subscription<Event> | undefined;
  let live: Live | undefined;
  let agents: number | undefined; // at the desk
  let problem = ''; // in words
  let forgotten = false;

  /** The id of the conversation, which is begun if there is none. */
  function current(): Promise<string> {
    if (id) return Promise.resolve(id);
    beginning ??= client.request<{ id: string }>('demo.support.open').then(async (answer) => {
      id = answer.id;
      save(localStorage, storageKey, id);
      await attach();
      return id;
    }).finally(() => { beginning = undefined; });
    return beginning;
  }

  /** Reads what has been said, and follows what comes. */
  async function attach(): Promise<void> {
    const loaded = await load(client, id);
    if (!loaded) return forget();
    detach();
    forgotten = false;
    conversation = loaded.conversation;
    subscription = client.subscribe<Event>(topics.talk(id), {
      since: loaded.since,
      onMessage: (message) => {
        conversation?.apply(message);
        if (conversation?.closed) live?.end();
        seeAgent();
      },
      onGap: ({ reason }) => reason === 'epoch' && forget(),
      onState: ({ state, error }) => {
        if (state === 'ended' && hasCode(error, 'support.no-conversation')) forget();
      },
    });
    if (!conversation.closed) live = new Live(client, id, 'visitor', { present: seeAgent, typing: showTyping });
    await comeBack();
    refresh();
  }

  function detach(): void {
    void subscription?.unsubscribe().catch(() => {});
    live?.end();
    subscription = live = undefined;
  }

  /** The server knows nothing of the conversation any more. What was said stays on the page; what is said next begins another one. */
  function forget(): void {
    if (conversation && !conversation.closed) forgotten = true;
    id = '';
    save(localStorage, storageKey, '');
    detach();
    refresh();
  }

  /** Who knows the id is the visitor, even if the server sees another user. */
  async function comeBack(): Promise<void> {
    const user = client.session?.user;
    if (!id || !conversation || conversation.closed || !user || conversation.visitors.includes(user)) return;
    await client.publish(topics.talk(id), { kind: 'back' } satisfies Event).catch((error: unknown) => { problem = words(error); });
  }

  async function mend(error: unknown): Promise<boolean> {
    if (hasCode(error, 'support.no-conversation')) forget();
    else if (hasCode(error, 'support.not-yours')) await comeBack();
    else return false;
    return true;
  }

  function seeAgent(first = false): void {
    const agent = conversation?.agent;
    if (conversation && !conversation.closed && agent && live) {
      const line = watch.see(conversation, agent.user, agent.name, live.present.has(agent.user), first);
      if (line) conversation.lines.push(line);
    }
    refresh();
  }

  function showTyping(yes: boolean): void {
    $('widget-typing').hidden = !yes;
    if (yes) say($('widget-typing'), 'thread.typing', { name: conversation?.agent?.name ?? '' });
  }

  // --- what is shown

  const isOpen = () => !$('widget').hidden;

  function open(yes: boolean): void {
    $('widget').hidden = !yes;
    $('launcher').hidden = yes;
    $('launcher').setAttribute('aria-expanded', String(yes));
    save(sessionStorage, `${storageKey}.open`, yes ? 'yes' : '');
    refresh();
    if (yes) {
      thread.toEnd();
      field.focus();
    } else {
      $('launcher').focus();
    }
  }

  function refresh(): void {
    if (conversation) thread.show(conversation, outbox.pending);
    else thread.waits(outbox.pending);
    showStatus();
    const unread = conversation?.unread.visitor.length ?? 0;
    $('launcher-unread').hidden = unread === 0;
    $('launcher-unread').textContent = String(unread);
    if (unread && isOpen() && !document.hidden) markRead();
    const over = Boolean(conversation?.closed);
    $('widget-hello').hidden = Boolean(conversation);
    $('widget-save').hidden = !conversation;
    $('widget-foot').hidden = !conversation || forgotten;
    $('widget-end').hidden = over;
    $('widget-new').hidden = !over;
    $('widget-form').hidden = over;
  }

  function showStatus(): void {
    const agent = conversation?.agent;
    const status = forgotten ? 'forgotten' : conversation?.closed ? 'over' : agent ? (watch.here === false ? 'agent-away' : 'agent-here')
      : agents === undefined ? 'unknown' : agents === 0 ? 'away' : conversation ? 'queue' : 'here';
    say($('widget-status'), `status.${status}`, { name: agent?.name, n: agents });
    const note = problem || (['forgotten', 'over', 'away', 'queue', 'agent-away'].includes(status) ? t(`note.${status}`, { name: agent?.name }) : '');
    $('widget-note').hidden = !note;
    $('widget-note').textContent = note;
    $('widget').dataset.status = status;
  }

  let marked = 0;
  function markRead(): void {
    const upTo = conversation!.unread.visitor.at(-1)!;
    if (upTo <= marked) return;
    marked = upTo;
    outbox.publish({ kind: 'read', by: 'visitor', upTo }).catch(() => { marked = 0; }); // it is said again with what is read next
  }

  compose({
    form: $('widget-form'), field,
    send: (text) => {
      problem = '';
      outbox.say('visitor', text);
    },
    typing: (yes) => conversation?.agent && live?.type(yes),
  });
  showGoods((name) => {
    open(true);
    insert(field, t('shop.question', { name }));
  });
  $('launcher').onclick = () => open(true);
  $('widget-close').onclick = () => open(false);
  $('widget').addEventListener('keydown', ({ key }) => key === 'Escape' && open(false));
  $('widget-save').onclick = () => download(conversation!);
  $('widget-end').onclick = () => outbox.publish({ kind: 'close', by: 'visitor' }).catch((error: unknown) => {
    problem = words(error);
    refresh();
  });
  $('widget-new').onclick = () => {
    forget();
    conversation = undefined;
    forgotten = false;
    thread.clear();
    refresh();
    field.focus();
  };
  document.addEventListener('visibilitychange', refresh);
  onLanguage(() => {
    thread.clear();
    refresh();
  });
  client.subscribe<{ agents: number }>(topics.state, {
    last: 1,
    onMessage: ({ data }) => {
      agents = data.agents;
      refresh();
    },
  });
  const restore = () => {
    if (id && !subscription) attach().catch((error: unknown) => { problem = words(error); refresh(); });
    else void comeBack();
  };
  client.on('state', ({ state }) => state === 'open' && restore());
  if (client.state === 'open') restore();
  refresh();
  if (remembered(sessionStorage, `${storageKey}.open`)) open(true);
}
