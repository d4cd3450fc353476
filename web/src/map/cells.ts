// Which cells of the city are in view, and subscriptions to exactly these.

import type { Client, Message, Subscription } from 'duplex-client';
import L from 'leaflet';
import type { City } from './city.js';

/** What a cell says: where somebody is, or that somebody is in it no more. */
export type Report = Sighting | { id: string; gone: true };

export interface Sighting {
  id: string;
  name: string;
  kind: 'bike' | 'scooter' | 'van' | 'person';
  lat: number;
  lon: number;
}

/** From this zoom on there are cells; further away only their counts. */
export const CLOSE = 15;
/** How much is subscribed around the view, as a part of it, so that nobody sees an empty margin while moving. */
const MARGIN = 0.12;
const prefix = 'demo.map.cell.';

export class Cells {
  readonly total: number;
  private readonly subscriptions = new Map<string, Subscription<Report>>(); // by "X.Y"
  private readonly outlines = L.layerGroup();

  constructor(
    private readonly map: L.Map,
    private readonly city: City,
    private readonly client: Client,
    private readonly callbacks: { took(message: Message<Report>, cell: string): void; left(cell: string): void; forgot(cell: string): void },
  ) {
    this.total = this.columns * this.rows;
    const pane = map.createPane('cells');
    pane.style.zIndex = '350';
    map.on('moveend', () => this.update());
  }

  /** The cells that are subscribed. */
  get names(): string[] {
    return [...this.subscriptions.keys()];
  }

  private get columns(): number {
    return Math.round((this.city.east - this.city.west) / this.city.cell);
  }

  private get rows(): number {
    return Math.round((this.city.north - this.city.south) / this.city.cell);
  }

  /** The outlines of the cells that are subscribed, on the map or not. */
  set outlined(yes: boolean) {
    if (yes) this.outlines.addTo(this.map);
    else this.outlines.remove();
  }

  bounds(cell: string): L.LatLngBounds {
    const [x = 0, y = 0] = cell.split('.').map(Number);
    const { south, west, cell: size } = this.city;
    return L.latLngBounds([south + y * size, west + x * size], [south + (y + 1) * size, west + (x + 1) * size]);
  }

  /** Subscribes to what has come into view, and to nothing else. */
  update(): void {
    const wanted = new Set(this.map.getZoom() >= CLOSE ? this.inView() : []);
    for (const [cell, subscription] of this.subscriptions) {
      if (wanted.has(cell)) continue;
      void subscription.unsubscribe();
      this.subscriptions.delete(cell);
      this.callbacks.left(cell);
    }
    for (const cell of wanted) {
      if (this.subscriptions.has(cell)) continue;
      this.subscriptions.set(cell, this.client.subscribe<Report>(prefix + cell, {
        last: 500, // three seconds of it, in which everybody has said something
        onMessage: (message) => this.callbacks.took(message, cell),
        onGap: ({ reason }) => reason === 'epoch' && this.callbacks.forgot(cell), // of other gaps the next second tells more
      }));
    }
    this.outlines.clearLayers();
    for (const cell of wanted) {
      this.outlines.addLayer(L.rectangle(this.bounds(cell), { pane: 'cells', className: 'cell', interactive: false }));
    }
  }

  private inView(): string[] {
    const { south, west, cell } = this.city;
    const view = this.map.getBounds().pad(MARGIN);
    const clamp = (n: number, most: number) => Math.max(0, Math.min(most - 1, Math.floor(n)));
    const [left, right] = [view.getWest(), view.getEast()].map((lon) => clamp((lon - west) / cell, this.columns));
    const [low, high] = [view.getSouth(), view.getNorth()].map((lat) => clamp((lat - south) / cell, this.rows));
    const names: string[] = [];
    for (let x = left!; x <= right!; x++) for (let y = low!; y <= high!; y++) names.push(`${x}.${y}`);
    return names;
  }
}
