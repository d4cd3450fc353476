// Draws the city: an island that the server has made up, as shapes. Their colours are in the style sheet, so that they follow light and dark.

import L from 'leaflet';
import { make } from '../shared/dom.js';
import { current, onLanguage } from '../shared/i18n.js';

type Line = [lat: number, lon: number][];

/** What the server says about the city. */
export interface City {
  south: number;
  west: number;
  north: number;
  east: number;
  /** Degrees of a cell's side; cells are counted from the south-west. */
  cell: number;
  island: Line;
  water: Line[];
  parks: Line[];
  avenues: Line[];
  streets: Line[];
  names: { at: [number, number]; kind: 'district' | 'park' | 'water'; name: Record<'en' | 'zh', string> }[];
}

const METRES = 111_320; // of a degree
const widths = { street: 9, avenue: 17 }; // metres

/** Puts the city on a map. */
export function drawCity(map: L.Map, city: City): void {
  const pane = map.createPane('city');
  pane.style.zIndex = '200'; // below everything that moves
  map.createPane('names').style.zIndex = '210';
  const renderer = L.svg({ pane: 'city', padding: 0.5 });
  const options = (className: string) => ({ pane: 'city', renderer, interactive: false, className, smoothFactor: 0.6 });
  L.polygon(city.island, options('shallows')).addTo(map);
  L.polygon(city.island, options('island')).addTo(map);
  L.polygon(city.parks.map((park) => [park]), options('park')).addTo(map);
  L.polygon(city.water.map((water) => [water]), options('water')).addTo(map);
  for (const layer of ['edge', 'way']) {
    L.polyline(city.streets, options(`${layer} street`)).addTo(map);
    L.polyline(city.avenues, options(`${layer} avenue`)).addTo(map);
  }
  const measure = () => {
    const metre = 2 ** map.getZoom() * 256 / 360 / METRES; // in pixels
    const { style } = map.getContainer();
    style.setProperty('--street', `${Math.max(1, widths.street * metre)}px`);
    style.setProperty('--avenue', `${Math.max(2, widths.avenue * metre)}px`);
    map.getContainer().dataset.zoom = String(Math.round(map.getZoom()));
  };
  map.on('zoomend', measure);
  measure();
  for (const { at, kind, name } of city.names) {
    const text = make('span', '', name[current()]);
    onLanguage(() => { text.textContent = name[current()]; });
    const icon = L.divIcon({ className: `name ${kind}`, html: text, iconSize: [0, 0] });
    L.marker(at, { pane: 'names', icon, interactive: false, keyboard: false }).addTo(map);
  }
}
