// A call: from ringing to the end, whatever happens to pages, server and network in between.

import type { Client, DuplexError } from 'duplex-client';
import { load, save } from '../shared/store.js';
import { Media, type Kind } from './media.js';
import { Peer } from './peer.js';
import { Room, type Signal } from './room.js';

/**
 * - `alone`: nobody else is in the room. `together`: somebody is, and there is no call.
 * - `calling`, `ringing`: this side, or the other one, wants to talk.
 * - `connecting`, `connected`.
 * - `away`: the other side is gone in the middle of the call, and may come back, as after a reload.
 */
export type State = 'alone' | 'together' | 'calling' | 'ringing' | 'connecting' | 'connected' | 'away';
/** Why the last call is over. */
export type Ending = 'hung-up' | 'they-hung-up' | 'declined' | 'they-declined' | 'they-left' | 'no-answer' | 'no-way';

interface Handlers {
  changed(): void;
  remote(stream: MediaStream | null): void;
  refused(error: DuplexError): void;
}

const ringTime = 45_000; // milliseconds until nobody answers
const connectTime = 20_000; // until there is no way to the other side
const awayTime = 12_000; // until somebody who is gone is not waited for any more
const goneTime = 1_500; // the same for who has left the server before
const storageKey = 'duplex.call'; // of the tab: the call to go on with after a reload

/** The room and the beginning of the call that this tab was in when it was reloaded. */
export function unfinished(): { room: string; since: number } | undefined {
  try {
    const { room, since } = JSON.parse(load(sessionStorage, storageKey) ?? '');
    return typeof room === 'string' && typeof since === 'number' ? { room, since } : undefined;
  } catch {
    return undefined;
  }
}

export class Call {
  state: State = 'alone';
  ending: Ending | undefined;
  /** Of the other one, if anybody is or was there. */
  name = '';
  /** What the other side sends. */
  theirs = { audio: true, video: true };
  /** When the call was connected first; 0: not yet. */
  since = 0;
  /** The other one's page has no connection to the server; the call goes on. */
  unreachable = false;
  readonly #room: Room;
  #peer?: Peer;
  #peerOf = ''; // the instance of the page at its other end
  #timer = 0;

  constructor(client: Client, readonly roomName: string, readonly media: Media, readonly handlers: Handlers) {
    const before = unfinished();
    if (before?.room === roomName) {
      this.since = before.since;
      this.state = 'away';
      this.#wait(awayTime, 'they-left');
    }
    this.#room = new Room(client, roomName, {
      met: (hello, name) => this.#met(hello, name),
      signal: (signal) => this.#take(signal),
      left: () => this.#left(),
      refused: (error) => {
        this.close();
        handlers.refused(error);
      },
      calling: () => this.#talking,
    });
  }

  get #talking(): boolean {
    return this.state === 'connecting' || this.state === 'connected' || this.state === 'away';
  }

  // --- what this side does

  ring(): void {
    this.#room.send('ring');
    this.#become('calling');
    this.#wait(ringTime, 'no-answer');
  }

  accept(): void {
    this.#room.send('accept');
    this.#connect();
  }

  decline(): void {
    this.#room.send('decline');
    this.#end('declined');
  }

  hangUp(): void {
    this.#room.send('hang-up');
    this.#end('hung-up');
  }

  async toggle(kind: Kind): Promise<void> {
    const track = await this.media.toggle(kind);
    if (track) this.#peer?.add(track, this.media.stream);
    this.#tellMedia();
    this.handlers.changed();
  }

  /**
   * The page is hidden away, for good or until it is loaded again or taken up again: the other side sees at once that it is gone, and if it
   * comes back in time the call goes on.
   */
  interrupt(): void {
    if (!this.#talking) return;
    this.#disconnect();
    this.#room.renew();
    this.#goAway();
  }

  /** Leaves the room. */
  close(): void {
    if (this.#talking || this.state === 'calling') this.#room.send('hang-up');
    this.#disconnect();
    save(sessionStorage, storageKey, '');
    this.#room.leave();
  }

  // --- what the other side does

  #met({ from, calling = false }: Signal, name: string): void {
    this.name = name;
    this.unreachable = false;
    if (!this.#talking) {
      if (this.state === 'calling' && calling) this.#connect(); // they have answered
      else if (this.state === 'alone') this.#become('together');
    } else if (!calling) {
      // Their call is over, or has never begun: they were away when it ended here.
      if (this.#peerOf !== from || this.state === 'away') this.#end('they-hung-up');
    } else if (this.#peerOf !== from) {
      this.#connect(); // their page, or this one, was loaded anew
    } else {
      this.#peer?.nudge();
    }
    this.handlers.changed();
  }

  #take(signal: Signal): void {
    switch (signal.kind) {
      case 'ring':
        // Whoever calls somebody that is calling them has been answered.
        if (this.state === 'calling') this.#connect();
        else if (!this.#talking) {
          this.#become('ringing');
          this.#wait(ringTime, 'no-answer');
        }
        return;
      case 'accept':
        if (this.state === 'calling') this.#connect();
        return;
      case 'decline':
        if (this.state === 'calling') this.#end('they-declined');
        return;
      case 'hang-up':
        if (this.#talking || this.state === 'ringing') this.#end('they-hung-up');
        return;
      case 'media':
        this.theirs = { audio: signal.audio ?? false, video: signal.video ?? false };
        this.handlers.changed();
        return;
      default:
        if (signal.from === this.#peerOf) void this.#peer?.take(signal);
    }
  }

  #left(): void {
    if (this.state === 'connected' && this.#peer?.state === 'connected') this.unreachable = true; // it is only the way to the server
    else if (this.state === 'connected' || this.state === 'connecting') this.#goAway();
    else if (this.state === 'away' && this.#peerOf) this.#wait(goneTime, 'they-left');
    else if (this.state === 'calling' || this.state === 'ringing') this.#end('they-left');
    else if (this.state === 'together') this.#become('alone');
    this.handlers.changed();
  }

  // --- the connection

  #connect(): void {
    this.#disconnect();
    this.#peerOf = this.#room.other;
    this.#peer = new Peer(this.#room.me < this.#peerOf, this.media.stream, {
      send: (kind, more) => this.#room.send(kind, more),
      media: (stream) => this.handlers.remote(stream),
      state: (state) => this.#peerIs(state),
    });
    this.#tellMedia();
    this.#become('connecting');
    this.#wait(connectTime, 'no-way');
    this.#remember();
  }

  #peerIs(state: RTCPeerConnectionState): void {
    if (state === 'connected') {
      this.since ||= Date.now();
      this.#become('connected');
      this.#remember();
    } else if ((state === 'disconnected' || state === 'failed') && this.#talking) {
      this.#goAway();
    }
  }

  #goAway(): void {
    if (this.state === 'away') return;
    this.#become('away');
    // Who is known to have left the server as well has closed the page, unless it is only being loaded anew.
    this.#wait(this.unreachable ? goneTime : awayTime, 'they-left');
  }

  #disconnect(): void {
    this.#peer?.close();
    this.#peer = undefined;
    this.#peerOf = '';
    this.handlers.remote(null);
  }

  #end(ending: Ending): void {
    this.#disconnect();
    this.ending = ending;
    this.since = 0;
    this.unreachable = false;
    this.theirs = { audio: true, video: true };
    save(sessionStorage, storageKey, '');
    this.#become(ending === 'they-left' ? 'alone' : 'together');
  }

  #become(state: State): void {
    clearTimeout(this.#timer);
    this.state = state;
    if (state !== 'alone' && state !== 'together') this.ending = undefined;
    this.handlers.changed();
  }

  #wait(time: number, ending: Ending): void {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => {
      if (ending === 'no-way' || ending === 'no-answer' && this.state === 'calling') this.#room.send('hang-up');
      this.#end(ending);
    }, time);
  }

  #remember(): void {
    save(sessionStorage, storageKey, JSON.stringify({ room: this.roomName, since: this.since }));
  }

  #tellMedia(): void {
    if (this.#peer) this.#room.send('media', { audio: this.media.sends('audio'), video: this.media.sends('video') });
  }
}
