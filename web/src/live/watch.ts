// A viewer: subscribes to the frames of a channel, decodes and draws them, and counts.

import type { Client, Subscription } from 'duplex-client';
import type { Channel } from './channels.js';
import { now } from './clock.js';
import { Decoder } from './decode.js';
import { unpack, type Frame } from './frame.js';
import { Meter, type Figures } from './meter.js';

const askAgain = 1_000; // milliseconds between two requests for a key frame

interface Shown {
  picture(): void;
  unable(codec: string): void;
}

export class Watch {
  readonly meter = new Meter();
  readonly #decoder: Decoder;
  readonly #context: CanvasRenderingContext2D;
  #subscription?: Subscription;
  #broadcast = 0;
  #sequence = -1; // of the last frame
  #missing = 0; // frames that never came
  #begun = false; // a key frame has come
  #askedAt = 0;

  constructor(readonly client: Client, readonly name: string, readonly canvas: HTMLCanvasElement, readonly shown: Shown) {
    this.#context = canvas.getContext('2d', { alpha: false })!;
    this.#decoder = new Decoder(
      (picture, { width, height, captured }) => {
        if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
        this.#context.drawImage(picture, 0, 0, width, height);
        this.meter.shown(now() - captured);
        shown.picture();
      },
      () => this.#askForKey(),
      shown.unable,
    );
  }

  get figures(): Figures {
    return { ...this.meter.figures(), skipped: this.#missing + this.#decoder.skipped };
  }

  /** Follows the channel's state: a new broadcast begins anew. */
  update({ live, n, every }: Channel): void {
    if (!live || n === this.#broadcast) return;
    this.#broadcast = n;
    this.#subscription?.unsubscribe();
    this.#begin();
    this.#subscription = this.client.subscribe<Uint8Array>(`demo.live.video.${this.name}`, {
      // As many as there may be since the last key frame: so there is a picture at once.
      last: every,
      onMessage: ({ data }) => {
        const frame = unpack(data);
        if (frame) this.#take(frame, data.length);
      },
      // How many are missing is seen by their numbers, also where the server does not know.
      onGap: () => this.#decoder.broken(),
      onState: ({ state }) => {
        if (state === 'live') this.#askedAt = 0;
      },
    });
  }

  #begin(): void {
    this.#sequence = -1;
    this.#begun = false;
    this.#decoder.begin();
  }

  #take(frame: Frame, bytes: number): void {
    this.meter.came(bytes, frame);
    const step = frame.sequence - this.#sequence;
    if (this.#sequence >= 0 && step <= 0) this.#begin(); // the broadcaster's page was loaded anew
    else if (this.#begun && step > 1) {
      this.#missing += step - 1;
      this.#decoder.broken();
    }
    this.#sequence = frame.sequence;
    this.#begun ||= frame.key;
    if (this.#begun) this.#decoder.add(frame);
    else this.#askForKey();
  }

  #askForKey(): void {
    if (performance.now() - this.#askedAt < askAgain && this.#askedAt) return;
    this.#askedAt = performance.now();
    this.client.request('demo.live.key', { channel: this.name }).catch(() => undefined); // the next key frame comes by itself
  }

  close(): void {
    this.#subscription?.unsubscribe();
    this.#decoder.close();
  }
}
