import type { Frame } from './codec.js';
import { DuplexError } from './errors.js';
import type { Gap, Message, Position, Sender, SubscribeOptions, SubscriptionChange, SubscriptionState } from './types.js';

/** What a subscription needs of its client. */
export interface Owner {
  /** Runs a callback of the application; what it throws is the application's own and stops nothing. */
  call<A>(callback: ((argument: A) => void) | undefined, self: object, argument: A): void;
  /** Asks who is there and tells `onPresence`. */
  askPresence(subscription: Subscription<any>): void;
  /** Whether the message was published by this client with `echo: false`. */
  isSilent(messageId: string): boolean;
  drop(subscription: Subscription<any>): Promise<void>;
}

/** A subscription of a topic or pattern. It lives through any number of connections, until it ends. */
export class Subscription<T = unknown> {
  /** The topic or pattern. */
  readonly topic: string;
  state: SubscriptionState = 'pending';
  /** Everything up to here has been given to `onMessage` or reported to `onGap`. Keep it to continue with `since` another day. */
  position: Position | undefined;
  /** Resolves with the position at which it began; rejects if the server refuses it, or the client closes before. */
  readonly ready: Promise<Position>;

  /** @internal the id of the subscribe that waits for its answer, or 0 */
  _id = 0;
  /** @internal */
  readonly _options: SubscribeOptions<T>;
  private readonly _owner: Owner;
  /** Where it goes on, once the gap that was announced has come. If the connection ends before that, the gap has to be announced again. */
  private _behindGap: Position | undefined;
  private _resolve!: (position: Position) => void;
  private _reject!: (error: DuplexError) => void;

  /** @internal use `client.subscribe` */
  constructor(topic: string, options: SubscribeOptions<T>, owner: Owner) {
    this.topic = topic;
    this.position = options.since;
    this._options = options;
    this._owner = owner;
    this.ready = new Promise((resolve, reject) => {
      this._resolve = resolve;
      this._reject = reject;
    });
    this.ready.catch(() => {}); // whoever does not wait for it is told by onState
  }

  /** Ends it at once: no callback runs after this. Resolves when the server knows, or the connection is gone. */
  unsubscribe(): Promise<void> {
    return this._owner.drop(this);
  }

  /** @internal */
  _command(id: number): Frame {
    const { last, presence, onJoin, onLeave, onPresence } = this._options;
    this._id = id;
    return {
      type: 'subscribe', id, topic: this.topic, since: this.position, last: this.position ? undefined : last,
      presence: presence ?? (onJoin || onLeave || onPresence ? true : undefined),
    };
  }

  /** @internal the server has confirmed it */
  _live(frame: Frame): void {
    const since = this.position;
    const begin = { epoch: frame.epoch!, offset: frame.offset! };
    const known = since && since.epoch === begin.epoch && since.offset > begin.offset;
    this._behindGap = since && !frame.recovered ? begin : undefined;
    if (!known && !this._behindGap) this.position = begin;
    this._id = 0;
    this._resolve(begin);
    this._set({ state: 'live', position: begin, ...(since && { recovered: !!frame.recovered }) });
    this._owner.askPresence(this);
  }

  /** @internal the connection is gone */
  _pending(error?: DuplexError): void {
    this._id = 0;
    if (error) this._reject(error);
    if (this.state === 'live') this._set({ state: 'pending' });
  }

  /** @internal */
  _end(error?: DuplexError): void {
    this._reject(error ?? new DuplexError('closed', 'unsubscribed'));
    if (this.state !== 'ended') this._set({ state: 'ended', ...(error && { error }) });
  }

  /** @internal a push for it; what comes before the confirmation belongs to a subscription that has ended */
  _push(frame: Frame): void {
    if (this.state !== 'live') return;
    const { onMessage, onGap, onJoin, onLeave } = this._options;
    if (this._behindGap && (frame.type === 'message' || frame.type === 'gap')) {
      this.position = this._behindGap;
      this._behindGap = undefined;
    }
    if (frame.type === 'message') {
      if (frame.offset) { // else it has no place in the line, and cannot have come already
        const { epoch, offset } = this.position!;
        if (frame.offset <= offset) return;
        this.position = { epoch, offset: frame.offset };
      }
      if (!frame.messageId || !this._owner.isSilent(frame.messageId)) this._owner.call(onMessage, this._options, toMessage<T>(frame));
    } else if (frame.type === 'gap') {
      const { type, sub, ...gap } = frame;
      // In the middle of a subscription only this tells that offsets begin anew.
      if (gap.until && gap.until.epoch !== this.position!.epoch) this.position = gap.until;
      this._owner.call(onGap, this._options, gap as Gap);
      if (frame.presence) this._owner.askPresence(this);
    } else {
      const who = { user: frame.user!, ...(frame.info && { info: frame.info }) };
      this._owner.call<Sender>(frame.type === 'join' ? onJoin : onLeave, this._options, who);
    }
  }

  private _set(change: SubscriptionChange): void {
    this.state = change.state;
    this._owner.call(this._options.onState, this._options, change);
  }
}

/** A message without what is the protocol's own. */
export function toMessage<T>(frame: Frame): Message<T> {
  const { type, sub, reply, ...message } = frame;
  return { offset: 0, ...message } as unknown as Message<T>;
}
