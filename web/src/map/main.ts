// The map page: cells in view are subscribed, what is in them moves, and the visitor may be one of them.

import 'leaflet/dist/leaflet.css';
import './style.css';
import L from 'leaflet';
import { at } from '../shared/connection.js';
import { $, showError } from '../shared/dom.js';
import { has } from '../shared/i18n.js';
import { start } from '../shared/shell.js';
import { Cells, CLOSE } from './cells.js';
import { drawCity, type City } from './city.js';
import { Bubbles, type Counts } from './counts.js';
import { Movers } from './movers.js';
import { Sharing } from './sharing.js';
import { texts } from './texts.js';

const { t, say, connect, onLanguage } = start(texts);
// Before the client is there, whose own listener leaves no connection to say goodbye by.
addEventListener('pagehide', () => sharing.leave());
const client = connect();
let user = ''; // this visitor; a server that was started again gives another one
let received = 0; // messages since the last look
let counts: Counts | undefined;
let problem: { code: string; text: string } | undefined;
let placing = false;

const sharing = new Sharing(client, (refused) => {
  problem = refused;
  // A device is nowhere near this city: what is left is to choose a place.
  if (refused && ['device', 'denied', 'map.off-map'].includes(refused.code)) setPlacing(true);
  show();
});

function show(): void {
  $('share').hidden = $('place').hidden = placing || sharing.state !== 'off';
  $('here').hidden = $('cancel').hidden = $('crosshair').hidden = !placing;
  $('stop').hidden = placing || sharing.state === 'off';
  say($('sharing'), placing ? 'map.placing' : `map.${sharing.state}`);
  const key = `error.${problem?.code}`;
  showError($('problem'), problem && (has(key) ? t(key as 'error.city') : t('error.other', { text: problem.text })));
}

function setPlacing(yes: boolean): void {
  placing = yes;
  $('map').classList.toggle('placing', yes);
  show();
}

function put({ lat, lng }: L.LatLng): void {
  problem = undefined;
  setPlacing(false);
  void sharing.put({ lat, lon: lng });
}

/** The city, as soon as the server gives it. */
async function load(): Promise<City> {
  for (;;) {
    try {
      const response = await fetch(at('map/city.json'));
      if (!response.ok) throw new Error(response.statusText);
      return await response.json() as City;
    } catch {
      problem = { code: 'city', text: '' };
      show();
      await new Promise<void>((resolve) => { client.on('state', ({ state }) => state === 'open' && resolve()); });
      problem = undefined;
    }
  }
}

function zoomControl(map: L.Map): void {
  let control: L.Control.Zoom | undefined;
  const add = () => {
    control?.remove();
    control = L.control.zoom({ position: 'topright', zoomInTitle: t('map.zoomIn'), zoomOutTitle: t('map.zoomOut') }).addTo(map);
  };
  add();
  onLanguage(add);
}

function open(city: City): void {
  user = client.session?.user ?? '';
  const bounds = L.latLngBounds([city.south, city.west], [city.north, city.east]);
  const map = L.map('map', {
    center: [0.0012, 0.0012], zoom: innerWidth < 700 ? CLOSE : CLOSE + 1, minZoom: 13, maxZoom: 18, maxBounds: bounds.pad(0.25),
    zoomControl: false, attributionControl: false,
  });
  zoomControl(map);
  drawCity(map, city);
  const movers = new Movers(map, (id) => id === user);
  client.on('state', ({ state }) => {
    if (state === 'open' && client.session!.user !== user) movers.forget(user);
    if (state === 'open') user = client.session!.user;
  });
  const cells = new Cells(map, city, client, {
    took: (message, cell) => {
      received++;
      movers.take(message, cell);
    },
    left: (cell) => movers.leave(cell),
    forgot: (cell) => movers.leave(cell, true), // who shares on has another id now
  });
  const bubbles = new Bubbles(map, (cell) => cells.bounds(cell), CLOSE);
  const far = () => map.getZoom() < CLOSE;
  const showFar = () => {
    bubbles.show(counts, far());
    $('far').hidden = !far();
  };
  client.subscribe<Counts>('demo.map.counts', {
    last: 1,
    onMessage: ({ data }) => {
      received++;
      counts = data;
      showFar();
    },
  });
  map.on('zoomend', showFar);
  map.on('click', ({ latlng }) => placing && put(latlng));
  cells.update();
  cells.outlined = true;
  $<HTMLInputElement>('cells').addEventListener('change', ({ target }) => { cells.outlined = (target as HTMLInputElement).checked; });
  $('here').addEventListener('click', () => put(map.getCenter()));
  const frame = (now: number) => {
    movers.glide(now);
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);

  const figures = () => {
    say($('subscribed'), 'map.of', { n: cells.names.length, all: cells.total });
    $('in-view').textContent = String(movers.size);
    if (counts) say($('in-city'), 'map.census', { couriers: counts.couriers, people: counts.people });
  };
  map.on('moveend', figures);
  figures();
  setInterval(() => {
    movers.age(client.state === 'open');
    say($('rate'), 'map.perSecond', { n: String(received) });
    received = 0;
    figures();
  }, 1_000);
  /** For the curious, in the browser's console; and for tests. */
  Object.assign(globalThis, { city: { map, cells, movers } });
}

$('share').addEventListener('click', () => {
  problem = undefined;
  sharing.follow();
});
$('place').addEventListener('click', () => {
  problem = undefined;
  setPlacing(true);
});
$('cancel').addEventListener('click', () => setPlacing(false));
$('stop').addEventListener('click', () => void sharing.stop());
addEventListener('keydown', ({ key }) => key === 'Escape' && placing && setPlacing(false));
onLanguage(show);
show();
void load().then((city) => {
  show();
  open(city);
});
