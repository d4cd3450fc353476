// What is shown from far away: how many there are in each cell.

import L from 'leaflet';
import { make } from '../shared/dom.js';

/** What the server counts every second. */
export interface Counts {
  cells: Record<string, number>;
  couriers: number;
  people: number;
}

export class Bubbles {
  private readonly layer = L.layerGroup();
  private readonly shown = new Map<string, { marker: L.Marker; text: HTMLElement }>(); // by the corner of what it counts

  constructor(private readonly map: L.Map, private readonly bounds: (cell: string) => L.LatLngBounds, private readonly closer: number) {}

  show(counts: Counts | undefined, visible: boolean): void {
    if (!visible || !counts) {
      this.layer.remove();
      return;
    }
    this.layer.addTo(this.map);
    const sums = this.sums(counts);
    for (const [area, { marker }] of this.shown) {
      if (sums.has(area)) continue;
      this.layer.removeLayer(marker);
      this.shown.delete(area);
    }
    for (const [area, count] of sums) {
      const { text } = this.shown.get(area) ?? this.add(area);
      text.textContent = String(count);
      text.style.setProperty('--size', `${Math.min(3.2, 1.5 + Math.sqrt(count) * 0.28)}rem`);
    }
  }

  /** The cells, or squares of four of them where these would be too small: "X.Y" of the first and how many on a side. */
  private sums({ cells }: Counts): Map<string, number> {
    const side = this.map.getZoom() < this.closer - 1 ? 2 : 1;
    const sums = new Map<string, number>();
    for (const [cell, count] of Object.entries(cells)) {
      const area = `${cell.split('.').map((n) => Number(n) - Number(n) % side).join('.')}.${side}`;
      sums.set(area, (sums.get(area) ?? 0) + count);
    }
    return sums;
  }

  private add(area: string): { marker: L.Marker; text: HTMLElement } {
    const text = make('div', 'bubble');
    const [x, y, side] = area.split('.').map(Number) as [number, number, number];
    const center = this.bounds(`${x}.${y}`).extend(this.bounds(`${x + side - 1}.${y + side - 1}`)).getCenter();
    const marker = L.marker(center, { icon: L.divIcon({ className: '', html: text, iconSize: [0, 0] }), keyboard: true });
    const closer = () => this.map.setView(center, this.closer);
    marker.on('click', closer);
    marker.on('keydown', ({ originalEvent }) => originalEvent.key === 'Enter' && closer());
    this.layer.addLayer(marker);
    const entry = { marker, text };
    this.shown.set(area, entry);
    return entry;
  }
}
