// How WebSocket works: one connection that is looked at, and the same messages without it.

import './style.css';
import { $, showError } from '../shared/dom.js';
import { start } from '../shared/shell.js';
import { drawHeader, lightUp, onWidth } from './bits.js';
import { secret } from './bytes.js';
import { Controls } from './controls.js';
import { Demo } from './demo.js';
import { Frame, type Report } from './frame.js';
import { showHandshake } from './handshake.js';
import { drawPayload } from './payload.js';
import { RaceView, type Counted } from './raceview.js';
import { Rows } from './rows.js';
import { texts } from './texts.js';

const { say, connect, onLanguage } = start(texts);

const id = secret(); // of what the server tells about this page's connections
const rows = new Rows(showFrame);
const demo = new Demo(id, { changed: (state, ended) => controls.show(state, ended), heard: (message) => controls.heard(message) });
const controls = new Controls(demo, (awaited) => rows.follow(awaited));
const race = new RaceView(id);

/** Draws a frame bit by bit. */
function showFrame(frame: Frame): void {
  $('detail').hidden = false;
  say($('detail-title'), frame.server ? 'detail.down' : 'detail.up', { type: frame.type, number: frame.number, bytes: frame.header.length + frame.length });
  $('detail').dataset.number = String(frame.number);
  drawHeader($('header-bits'), frame);
  drawPayload($('payload'), frame);
}

/** Takes what the server has seen pass. */
function take(report: Report): void {
  if (report.skipped) rows.skipped(report.skipped);
  if (report.kind === 'open') {
    showHandshake(report);
    rows.begin(report.connection, report.at, report.compression !== undefined);
  } else if (report.kind === 'end') {
    rows.end(report.connection);
  } else {
    const frame = new Frame(report);
    rows.add(frame);
    controls.passed(frame);
  }
  $('no-frames').hidden = true;
}

lightUp($('header-bits'));
onWidth(() => rows.selected && showFrame(rows.selected));
onLanguage(() => {
  if (rows.selected) showFrame(rows.selected);
  race.draw();
  controls.translate();
});
$('clear').addEventListener('click', () => {
  rows.clear();
  $('detail').hidden = true;
  $('no-frames').hidden = false;
});

const client = connect();
client.subscribe<Report>(`demo.how.${id}`, {
  onMessage: ({ data }) => take(data),
  onGap: () => rows.lost(),
  onState: ({ state, error }) => {
    if (state === 'live') demo.watch();
    else demo.watched = false;
    if (error) showError($('refused'), error.message);
  },
});
client.subscribe<Counted>(`demo.how.${id}.counts`, { onMessage: ({ data }) => race.count(data) });
