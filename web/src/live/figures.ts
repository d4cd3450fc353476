// The figures below the picture.

import { $ } from '../shared/dom.js';
import { locale } from '../shared/i18n.js';
import type { Figures } from './meter.js';

const names: Record<string, string> = { jpeg: 'JPEG', vp8: 'VP8', vp9: 'VP9', h264: 'H.264' };

/** data-value has the bare number, for whoever reads the page by program. */
function show(id: string, value: number | undefined, text: (value: number) => string): void {
  const element = $(id);
  element.textContent = value === undefined ? '–' : text(value);
  element.dataset.value = value === undefined ? '' : String(value);
}

export function showFigures(figures: Figures | undefined, comments: number): void {
  const number = (value: number, digits = 0) => value.toLocaleString(locale(), { maximumFractionDigits: digits, minimumFractionDigits: digits });
  show('stat-rate', figures?.rate, (rate) => (rate >= 1e6 ? `${number(rate / 1e6, 1)} Mbit/s` : `${number(rate / 1e3)} kbit/s`));
  show('stat-frames', figures?.frames, (frames) => number(frames));
  show('stat-delay', figures?.delay, (delay) => `${number(delay)} ms`);
  show('stat-skipped', figures?.skipped ?? 0, (skipped) => number(skipped));
  show('stat-comments', comments, (count) => number(count));
  $('stat-codec').textContent = figures?.codec ? names[figures.codec]! : '–';
  $('stat-codec').title = figures?.size ?? '';
}
