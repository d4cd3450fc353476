// Sizes, speeds and times in words.

import { current, locale } from '../shared/i18n.js';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function size(bytes: number): string {
  let unit = 0;
  let n = bytes;
  for (; n >= 1024 && unit < units.length - 1; unit++) n /= 1024;
  return `${n.toLocaleString(locale(), { maximumFractionDigits: unit === 0 || n >= 100 ? 0 : 1 })} ${units[unit]}`;
}

export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '';
  const s = Math.max(1, Math.round(seconds));
  const [h, m] = [Math.floor(s / 3600), Math.floor((s % 3600) / 60)];
  if (current() === 'zh') return h ? `${h} 小时 ${m} 分` : m ? `${m} 分 ${s % 60} 秒` : `${s} 秒`;
  return h ? `${h} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
}

export const when = (time: string) => new Date(time).toLocaleString(locale(), { dateStyle: 'medium', timeStyle: 'short' });

/** How fast something grows, over the last seconds. */
export class Speed {
  #marks: [time: number, bytes: number][] = [];

  add(bytes: number): void {
    const now = performance.now();
    this.#marks.push([now, bytes]);
    while (now - this.#marks[0]![0] > 3_000) this.#marks.shift();
  }

  /** Bytes a second. */
  get now(): number {
    const now = performance.now();
    const recent = this.#marks.filter(([time]) => now - time <= 3_000);
    const first = recent[0];
    if (!first) return 0;
    return recent.reduce((sum, [, bytes]) => sum + bytes, 0) / Math.max(0.5, (now - first[0]) / 1000);
  }

  clear(): void {
    this.#marks = [];
  }
}
