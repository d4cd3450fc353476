// A broadcaster: draws a source on a canvas so many times a second, encodes it, and publishes the frames.

import { DuplexError, type Client, type Subscription } from 'duplex-client';
import { now } from './clock.js';
import { makeEncoder, type Encoded, type Encoder } from './encode.js';
import { pack } from './frame.js';
import { Meter, type Figures } from './meter.js';
import type { Source } from './source.js';

export const sizes = {
  small: { width: 320, height: 180, fps: 12, bitrate: 250_000 },
  medium: { width: 640, height: 360, fps: 24, bitrate: 1_000_000 },
  large: { width: 1280, height: 720, fps: 30, bitrate: 2_500_000 },
};

const maxFlying = 8; // frames without an answer; then the line is slower than the pictures, and the next ones are skipped
const patience = 15_000; // milliseconds after a lost connection in which the channel may still seem to be somebody's

interface Told {
  /** It is over, and not because stop was called. */
  ended(error: DuplexError): void;
}

export class Broadcast {
  readonly #meter = new Meter();
  readonly #context: CanvasRenderingContext2D;
  readonly #ticker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  readonly #offState: () => void;
  #control?: Subscription;
  #encoder?: Encoder;
  #sequence = 0;
  #sinceKey = 0;
  #needKey = true;
  #flying = 0;
  #skipped = 0;
  #running = true;
  #lostAt = 0;

  private constructor(
    readonly client: Client, readonly channel: string, readonly source: Source, readonly size: keyof typeof sizes,
    readonly canvas: HTMLCanvasElement, readonly told: Told, public onlyJpeg: boolean,
  ) {
    const { width, height, fps } = sizes[size];
    Object.assign(canvas, { width, height });
    this.#context = canvas.getContext('2d', { alpha: false })!;
    this.#ticker.onmessage = () => this.#tick();
    this.#ticker.postMessage(1000 / fps);
    this.#offState = client.on('state', ({ state }) => {
      if (state === 'waiting') this.#lostAt = performance.now();
      if (state === 'open') void this.#again();
    });
  }

  /** Begins to broadcast; rejects if the server does not allow it. */
  static async start(
    client: Client, channel: string, source: Source, size: keyof typeof sizes, canvas: HTMLCanvasElement, told: Told, onlyJpeg: boolean,
  ): Promise<Broadcast> {
    const one = new Broadcast(client, channel, source, size, canvas, told, onlyJpeg);
    try {
      await one.#choose();
      await one.#announce();
    } catch (error) {
      one.close();
      throw error;
    }
    return one;
  }

  get figures(): Figures {
    return { ...this.#meter.figures(), skipped: this.#skipped };
  }

  /** Switches between video and JPEG. */
  async force(jpeg: boolean): Promise<void> {
    this.onlyJpeg = jpeg;
    await this.#choose();
    await this.#announce();
  }

  async stop(): Promise<void> {
    this.close();
    await this.client.request('demo.live.stop', { channel: this.channel });
  }

  close(): void {
    this.#running = false;
    this.#offState();
    this.#ticker.terminate();
    this.#control?.unsubscribe();
    this.#encoder?.close();
    this.source.close();
  }

  /** Frames from one key frame to the next: two seconds. */
  get #every(): number {
    return this.#encoder?.codec === 'jpeg' ? 1 : 2 * sizes[this.size].fps;
  }

  async #choose(): Promise<void> {
    const encoder = await makeEncoder(sizes[this.size], this.onlyJpeg, (encoded) => this.#publish(encoded), () => {
      // This machine cannot do it after all. Without a connection it is announced when there is one again.
      if (this.#running) this.force(true).catch(() => undefined);
    });
    this.#encoder?.close();
    this.#encoder = encoder;
    this.#needKey = true;
    if (!this.#running) encoder.close();
  }

  async #announce(): Promise<void> {
    const { codec } = this.#encoder!;
    await this.client.request('demo.live.start', { channel: this.channel, codec, every: this.#every }, { resend: true });
    if (!this.#running || this.#control && this.#control.state !== 'ended') return;
    // Being here is also what tells the server that the broadcast goes on.
    this.#control = this.client.subscribe<{ ask: string }>(`demo.live.control.${this.channel}`, {
      onMessage: ({ data }) => {
        if (data.ask === 'key') this.#needKey = true;
      },
      onState: ({ state, error }) => {
        if (state === 'ended' && error && this.#running) void this.#again();
      },
    });
  }

  /** Announces the broadcast once more: the server may have been restarted, and know nothing of it. */
  async #again(): Promise<void> {
    if (!this.#running || this.client.state !== 'open') return;
    try {
      await this.#announce();
      this.#needKey = true;
    } catch (error) {
      if (!(error instanceof DuplexError) || !this.#running || this.client.state !== 'open') return;
      // The server may take the connection that was lost for one that is still there, and this one for somebody else's.
      const waits = error.code === 'live.taken' && performance.now() - this.#lostAt < patience;
      if (waits) setTimeout(() => this.#again(), 1_000);
      else this.told.ended(error);
    }
  }

  #tick(): void {
    const { width, height } = this.canvas;
    this.source.draw(this.#context, width, height);
    const encoder = this.#encoder;
    if (!encoder || this.client.state !== 'open') return;
    if (!encoder.ready || this.#flying >= maxFlying) {
      this.#skipped++;
      return;
    }
    const key = this.#needKey || this.#sinceKey + 1 >= this.#every;
    this.#needKey = false;
    this.#sinceKey = key ? 0 : this.#sinceKey + 1;
    encoder.encode(this.canvas, now(), key);
  }

  #publish({ codec, key, captured, payload }: Encoded): void {
    if (!this.#running) return;
    const { width, height } = this.canvas;
    const frame = pack({ codec, key, width, height, sequence: this.#sequence++, captured, payload });
    this.#meter.came(frame.length, { codec, width, height });
    this.#flying++;
    // Now or never: a picture that is late is of no use.
    this.client.publish(`demo.live.video.${this.channel}`, frame, { volatile: true, echo: false })
      .then(() => this.#meter.shown(now() - captured))
      .catch((error: DuplexError) => {
        this.#skipped++;
        this.#needKey = true;
        if (error.code === 'live.not-live') void this.#again();
      })
      .finally(() => { this.#flying--; });
  }
}
