// Everything that moves: a marker for each, which glides from where it was to where it is.

import type { Message } from 'duplex-client';
import L from 'leaflet';
import { avatar, icon, make } from '../shared/dom.js';
import type { Report, Sighting } from './cells.js';

const GLIDE = 1_100; // ms: a little more than between two reports
const OLD = 4_000; // ms after which a marker fades
const GONE = 8_000; // and after which it goes
const NEAR = 2e-6; // degrees; who moves less stands

const icons = {
  bike: 'M6 14.500a3 3 0 1 0 0 .01M18 14.500a3 3 0 1 0 0 .01M6 14.500l3.500-6h5l3.500 6M9.500 8.500l3 6H6M14.500 8.500l-2 6M13.500 6h2',
  scooter: 'M7 17.500a2 2 0 1 0 0 .01M18 17.500a2 2 0 1 0 0 .01M16 17.500H9c0-3 2-4.500 5-4.500l-1.500-7H10M14 13c2.500 0 4 1.500 4 2.500',
  van: 'M3 7h10v9H3zM13 10h4l3 3v3h-7M7 16a1.500 1.500 0 1 0 0 .01M16.500 16a1.500 1.500 0 1 0 0 .01',
};

interface Mover {
  marker: L.Marker;
  element: HTMLElement;
  person: boolean;
  cell: string;
  /** When the server got the report, by its clock; an older one is not news. */
  time: number;
  heard: number; // by this page's clock
  from: L.LatLng;
  to: L.LatLng;
}

export class Movers {
  private readonly all = new Map<string, Mover>();
  private zooming = false;

  constructor(private readonly map: L.Map, private readonly isMe: (id: string) => boolean) {
    map.on('zoomstart', () => { this.zooming = true; });
    map.on('zoomend', () => { this.zooming = false; });
  }

  get size(): number {
    return this.all.size;
  }

  /** Where everybody is said to be. */
  get places(): { id: string; cell: string; lat: number; lon: number }[] {
    return [...this.all].map(([id, { cell, to }]) => ({ id, cell, lat: to.lat, lon: to.lng }));
  }

  /** Takes a report of a cell. The newest counts, whatever the order in which reports of different cells come. */
  take({ data, time }: Message<Report>, cell: string): void {
    const known = this.all.get(data.id);
    if (known && time < known.time) return;
    if ('gone' in data) {
      if (known?.cell === cell) this.drop(data.id);
      return;
    }
    const now = performance.now();
    const to = L.latLng(data.lat, data.lon);
    if (!known) {
      const { marker, element } = this.show(data, to);
      this.all.set(data.id, { marker, element, person: data.kind === 'person', cell, time, heard: now, from: to, to });
      return;
    }
    Object.assign(known, { cell, time, heard: now, from: known.marker.getLatLng(), to });
    if (apart(known.from, to) > NEAR) {
      known.element.style.setProperty('--heading', `${Math.atan2(to.lng - known.from.lng, to.lat - known.from.lat)}rad`);
      known.element.classList.add('riding');
    } else {
      known.element.classList.remove('riding');
    }
  }

  /** Takes away whom only this cell knew: everybody, or the people. */
  leave(cell: string, people = false): void {
    for (const [id, mover] of this.all) if (mover.cell === cell && (!people || mover.person)) this.drop(id);
  }

  /** Takes somebody away who is known under another id now. */
  forget(id: string): void {
    this.drop(id);
  }

  private drop(id: string): void {
    this.all.get(id)?.marker.remove();
    this.all.delete(id);
  }

  private show(report: Sighting, at: L.LatLng): { marker: L.Marker; element: HTMLElement } {
    const { id, name, kind } = report;
    const person = kind === 'person';
    const element = make('div', `mover ${kind}${this.isMe(id) ? ' me' : ''}`);
    element.dataset.id = id;
    if (kind === 'person') element.append(avatar(name), make('span', 'label', name));
    else element.append(icon(icons[kind]));
    const marker = L.marker(at, {
      icon: L.divIcon({ className: '', html: element, iconSize: [0, 0] }), zIndexOffset: person ? 1_000 : 0,
      interactive: !person, keyboard: false, bubblingMouseEvents: true, // who wants to be there may click on a courier
    });
    if (!person) marker.bindTooltip(make('span', '', name), { direction: 'top', offset: [0, -12] });
    marker.addTo(this.map);
    return { marker, element };
  }

  /** Moves all markers to where they are now. */
  glide(now: number): void {
    if (this.zooming) return; // Leaflet moves them
    const seen = 0.4 * 360 / 256 / 2 ** this.map.getZoom(); // degrees that anybody could see; less costs and shows nothing
    for (const { marker, from, to, heard } of this.all.values()) {
      const part = Math.min(1, (now - heard) / GLIDE);
      const next = L.latLng(from.lat + (to.lat - from.lat) * part, from.lng + (to.lng - from.lng) * part);
      if (apart(marker.getLatLng(), next) > seen) marker.setLatLng(next);
    }
  }

  /** Fades who has not been heard of; with a connection, that means that they are gone. */
  age(connected: boolean): void {
    const now = performance.now();
    for (const [id, { element, heard }] of this.all) {
      element.classList.toggle('old', now - heard > OLD);
      if (connected && now - heard > GONE) this.drop(id);
    }
  }
}

const apart = (a: L.LatLng, b: L.LatLng) => Math.abs(a.lat - b.lat) + Math.abs(a.lng - b.lng);
