// Publishing to a conversation: what is written waits here until the topic has it.

import { DuplexError, type Client } from 'duplex-client';
import { has, t } from '../shared/i18n.js';
import { topics, type Event } from './conversation.js';
import type { Pending } from './thread.js';

/** What went wrong, in words. */
export function words(error: unknown): string {
  const { code, message } = error as DuplexError;
  return has(`error.${code}`) ? t(`error.${code}`) : t('error.other', { message });
}

export const hasCode = (error: unknown, code: string) => error instanceof DuplexError && error.code === code;

export class Outbox {
  readonly pending: Pending[] = [];

  /**
   * @param id of the conversation, or what begins one
   * @param mend is called before something that was refused for this conversation is sent once more; false if there is nothing to be mended
   */
  constructor(
    private readonly client: Client,
    private readonly id: () => Promise<string>,
    private readonly changed: () => void,
    private readonly mend: (error: unknown, id: string) => Promise<boolean> = async () => false,
  ) {}

  /** Does something. Rejects when it was refused. */
  async publish(event: Event, messageId?: string): Promise<void> {
    const id = await this.id();
    try {
      await this.client.publish(topics.talk(id), event, { messageId });
    } catch (error) {
      if (!(await this.mend(error, id))) throw error;
      await this.client.publish(topics.talk(await this.id()), event, { messageId });
    }
  }

  /** Says something, and shows how far that is. */
  say(by: Event['by'], text: string): void {
    const item: Pending = { messageId: crypto.randomUUID(), text, again: () => void this.deliver(by, item), discard: () => this.remove(item) };
    this.pending.push(item);
    void this.deliver(by, item);
  }

  private async deliver(by: Event['by'], item: Pending): Promise<void> {
    item.error = undefined;
    this.changed();
    try {
      await this.publish({ kind: 'text', by, text: item.text }, item.messageId);
      this.remove(item);
    } catch (error) {
      item.error = words(error);
      this.changed();
    }
  }

  private remove(item: Pending): void {
    const at = this.pending.indexOf(item);
    if (at >= 0) this.pending.splice(at, 1);
    this.changed();
  }
}
