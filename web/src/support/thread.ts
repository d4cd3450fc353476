// A conversation as it is read: what was said and what happened, in order, what is on its way, and what the other side has seen.

import { $, linked, make } from '../shared/dom.js';
import { has, locale, say, t } from '../shared/i18n.js';
import { me } from '../shared/me.js';
import type { Conversation, Line, Side } from './conversation.js';

/** What was written here and is not in the topic yet. */
export interface Pending {
  messageId: string;
  text: string;
  /** Why it was refused. */
  error?: string;
  again(): void;
  discard(): void;
}

const near = 80; // pixels from the end at which somebody still reads along

export class Thread {
  private shown: Line[] = [];
  private conversation?: Conversation;

  /** @param log an element for the messages, with a scrolling parent; @param waiting one for what is on its way */
  constructor(
    private readonly side: Side, private readonly log: HTMLElement, private readonly waiting: HTMLElement, private readonly scroll: HTMLElement,
  ) {}

  /** Shows a conversation, of which more may have come. */
  show(conversation: Conversation, pending: Pending[]): void {
    const atEnd = this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < near;
    const { lines } = conversation;
    if (conversation !== this.conversation || this.shown.some((line, i) => line !== lines[i])) this.clear();
    const other = this.conversation !== conversation;
    this.conversation = conversation;
    for (const line of lines.slice(this.shown.length)) {
      const element = this.line(line);
      if (element) this.log.append(element);
      this.shown.push(line);
    }
    const known = new Set(lines.map(({ messageId }) => messageId));
    this.waits(pending.filter(({ messageId }) => !known.has(messageId)));
    this.markSeen(conversation);
    if (atEnd || other) this.toEnd();
  }

  /** Shows what is on its way. */
  waits(pending: Pending[]): void {
    this.waiting.replaceChildren(...pending.map(outstanding));
  }

  toEnd(): void {
    this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  /** Makes everything anew the next time, in another language or at another time. */
  clear(): void {
    this.shown = [];
    this.conversation = undefined;
    this.log.replaceChildren();
  }

  private line(line: Line): HTMLElement | undefined {
    if (line.kind === 'text') return this.bubble(line);
    const key = happened(line);
    if (!key) return undefined;
    const notice = make('li', 'notice');
    say(notice, key, { name: line.name, to: line.to, time: clock(line.time) });
    return notice;
  }

  private bubble({ by, name, text, time, offset, messageId }: Line): HTMLElement {
    const own = by === this.side;
    const element = make('li', own ? 'said own' : 'said');
    const before = this.shown.findLast((line) => line.kind === 'text' || happened(line));
    const goesOn = before?.kind === 'text' && before.by === by && before.name === name;
    if (!goesOn && !(own && name === me.name)) element.append(make('span', 'who', name)); // a colleague's are on the same side
    const stamp = make('time', '', clock(time));
    stamp.dateTime = new Date(time).toISOString();
    element.append(make('p', 'bubble', ...linked(text)), make('p', 'stamp muted', stamp));
    element.dataset.offset = String(offset);
    if (messageId) element.dataset.message = messageId;
    return element;
  }

  /** Says under the last of one's own messages that the other side has seen how far that is. */
  private markSeen({ seen }: Conversation): void {
    const upTo = seen[this.side === 'visitor' ? 'agent' : 'visitor'];
    const read = [...this.log.querySelectorAll<HTMLElement>('.own')].filter(({ dataset }) => Number(dataset.offset) <= upTo).at(-1);
    for (const old of this.log.querySelectorAll('.seen')) {
      if (read?.contains(old)) continue;
      old.previousSibling?.remove();
      old.remove();
    }
    if (!read || read.querySelector('.seen')) return;
    const mark = make('span', 'seen');
    say(mark, 'thread.seen');
    read.querySelector('.stamp')!.append(' · ', mark);
  }
}

/** The key of what happened, if one says anything about it. */
export function happened(line: Line): string | undefined {
  let kind: string = line.kind;
  if (kind === 'hand' && !line.to) kind = 'back-to-queue';
  if (kind === 'take' && line.to) kind = 'take-over';
  if (kind === 'close') kind = `close.${line.by}`;
  return has(`happened.${kind}`) ? `happened.${kind}` : undefined;
}

/** What is on its way, or was refused. */
function outstanding({ text, error, again, discard }: Pending): HTMLElement {
  const element = make('li', 'said own pending', make('p', 'bubble', ...linked(text)));
  if (!error) {
    const status = make('span', 'muted');
    say(status, 'thread.sending');
    element.append(status);
    return element;
  }
  const [retry, drop] = [make('button', 'quiet'), make('button', 'quiet')];
  say(retry, 'thread.again');
  say(drop, 'thread.discard');
  retry.onclick = again;
  drop.onclick = discard;
  element.append(make('p', 'error', error), make('div', 'row end', retry, drop));
  return element;
}

export const clock = (time: number) => new Date(time).toLocaleTimeString(locale(), { hour: '2-digit', minute: '2-digit' });

/** The whole conversation as text, as it is to be kept. */
export function transcript(conversation: Conversation): string {
  const stamp = (time: number) => new Date(time).toLocaleString(locale(), { dateStyle: 'short', timeStyle: 'medium' });
  const lines = conversation.lines.flatMap((line) => {
    const key = happened(line);
    if (line.kind === 'text') return [`[${stamp(line.time)}] ${line.name}: ${line.text.replaceAll('\n', '\n    ')}`];
    return key ? [`[${stamp(line.time)}] * ${t(key, { name: line.name, to: line.to, time: clock(line.time) })}`] : [];
  });
  return [t('transcript.title', { name: conversation.visitor, when: stamp(conversation.opened) }), '', ...lines, ''].join('\n');
}

/** Hands the conversation over as a file. */
export function download(conversation: Conversation): void {
  const link = make('a');
  link.href = URL.createObjectURL(new Blob([transcript(conversation)], { type: 'text/plain;charset=utf-8' }));
  link.download = `${new Date(conversation.opened).toISOString().slice(0, 10)} ${conversation.visitor}.txt`;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** The elements of a thread, by the beginning of their ids. */
export const threadAt = (side: Side, name: string) => new Thread(side, $(`${name}-log`), $(`${name}-pending`), $(`${name}-scroll`));
