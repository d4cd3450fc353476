// Sharing one's own position, as long as one wants to: from the device, or from where one has put oneself on the map. The server forgets who
// is silent for six seconds, so nobody stays on the map who has left.

import { DuplexError, type Client } from 'duplex-client';

const BEAT = 2_000; // ms between two words to the server
const LEAST = 250; // ms between two positions of the device

export interface Place {
  lat: number;
  lon: number;
}

/** How it goes. `off`: nothing is shared. `asking`: for the device's position. `sending`: it waits for the server. `on`: others see it. */
export type SharingState = 'off' | 'asking' | 'sending' | 'on';

export class Sharing {
  state: SharingState = 'off';
  /** Where others see this visitor. */
  at: Place | undefined;
  private watch: number | undefined;
  private timer: number | undefined;
  private sent = 0;

  constructor(
    private readonly client: Client,
    /** Called after each change, with the reason if something was refused. */
    private readonly changed: (problem?: { code: string; text: string }) => void,
  ) {
    // The server may have been started again, and know nothing.
    client.on('state', ({ state }) => state === 'open' && this.at && void this.send());
  }

  /** Shares what the device says. */
  follow(): void {
    this.end();
    if (!navigator.geolocation || !isSecureContext) {
      this.changed({ code: 'device', text: '' });
      return;
    }
    this.set('asking');
    this.watch = navigator.geolocation.watchPosition(
      ({ coords }) => {
        if (performance.now() - this.sent >= LEAST) void this.show({ lat: coords.latitude, lon: coords.longitude });
      },
      ({ code, message }) => {
        if (code !== 1 && this.at) return; // it has lost sight of its satellites for a moment
        this.refuse({ code: code === 1 ? 'denied' : 'device', text: message });
      },
      { enableHighAccuracy: true, maximumAge: 1_000, timeout: 15_000 },
    );
  }

  /** Shares a place that the visitor has chosen. */
  async put(place: Place): Promise<void> {
    this.end();
    if (this.at) await this.stop(); // one does not travel there, one begins there
    await this.show(place);
  }

  async stop(): Promise<void> {
    this.end();
    this.at = undefined;
    this.set('off');
    await this.client.request('demo.map.stop').catch(() => {}); // else silence tells it
  }

  /** Says goodbye at once, as far as that is possible: to be called when the page goes. */
  leave(): void {
    if (this.at) this.client.request('demo.map.stop').catch(() => {});
  }

  private async show(place: Place): Promise<void> {
    this.at = place;
    if (this.state !== 'on') this.set('sending');
    await this.send();
  }

  private async send(): Promise<void> {
    clearTimeout(this.timer);
    this.sent = performance.now();
    const { at } = this;
    if (!at) return;
    try {
      await this.client.request('demo.map.share', at, { timeout: BEAT });
      if (this.at !== at) return; // it is over, or elsewhere, by now
      this.set('on');
    } catch (error) {
      if (this.at !== at) return;
      const { code, message } = error instanceof DuplexError ? error : { code: 'internal', message: String(error) };
      // Without a connection, or too often: the next beat says it again.
      if (code.startsWith('map.') && code !== 'map.too-often' || code.startsWith('demo.')) {
        this.refuse({ code, text: message });
        return;
      }
    }
    this.timer = setTimeout(() => void this.send(), BEAT);
  }

  private refuse(problem: { code: string; text: string }): void {
    const shown = this.state === 'on';
    this.end();
    this.at = undefined;
    this.state = 'off';
    this.changed(problem);
    if (shown) this.client.request('demo.map.stop').catch(() => {});
  }

  private end(): void {
    clearTimeout(this.timer);
    if (this.watch !== undefined) navigator.geolocation.clearWatch(this.watch);
    this.watch = undefined;
  }

  private set(state: SharingState): void {
    if (state === this.state) return;
    this.state = state;
    this.changed();
  }
}
