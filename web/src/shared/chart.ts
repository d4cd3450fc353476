// Lines over time, drawn by uPlot in the colours and the language of the page. Its style comes with it.

import 'uplot/dist/uPlot.min.css';
import uPlot from 'uplot';
import { locale, onLanguage } from './i18n.js';

export interface Line {
  /** A variable of style.css: '--accent'. */
  color: string;
  /** Fill what is below it. */
  fill?: boolean;
}

export interface ChartOptions {
  lines: Line[];
  /** In pixels; default 180. */
  height?: number;
  /** How values are written; default: in short. */
  format?: (value: number) => string;
  /** The axis begins at 0. */
  fromZero?: boolean;
  /** Values are whole numbers. */
  whole?: boolean;
  /** Width of the axis of values, in pixels; default 52. */
  axis?: number;
}

/** Times in seconds since 1970, ascending, and the values of each line; null: there is none. */
export type Data = [times: number[], ...values: (number | null)[][]];

/** A chart that is as wide as its host. Set it as often as you like: it draws when the browser does. */
export class Chart {
  readonly #host: HTMLElement;
  readonly #options: ChartOptions;
  #plot: uPlot | undefined;
  #data: Data;
  #due = false;

  constructor(host: HTMLElement, options: ChartOptions) {
    this.#host = host;
    this.#options = options;
    this.#data = [[], ...options.lines.map(() => [])];
    const anew = () => {
      this.#plot?.destroy();
      this.#plot = undefined;
      this.#draw();
    };
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(host);
    addEventListener('duplex-theme', anew);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', anew);
    onLanguage(anew);
  }

  set(data: Data): void {
    this.#data = data;
    this.#draw();
  }

  #draw(): void {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#plot ??= this.#make();
      this.#plot.setData(this.#data as uPlot.AlignedData);
    });
  }

  #size() {
    return { width: Math.max(120, this.#host.clientWidth), height: this.#options.height ?? 180 };
  }

  #make(): uPlot {
    const { lines, format = short, fromZero, whole, axis = 52 } = this.#options;
    const colour = palette(this.#host);
    const font = '12px system-ui, sans-serif';
    const look = { stroke: colour('--muted'), font, ticks: { show: false }, grid: { stroke: colour('--line'), width: 1 } };
    return new uPlot({
      ...this.#size(),
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 8, 0, 0],
      scales: fromZero ? { y: { range: (_, __, max) => [0, Math.max(max * 1.08, 1)] } } : {},
      axes: [
        { ...look, size: 30, space: 70, values: (_, splits, __, ___, step) => splits.map((at) => clock(at, step)) },
        { ...look, size: axis, space: 32, ...(whole && { incrs: steps }), values: (_, splits) => splits.map(format) },
      ],
      series: [{}, ...lines.map(({ color, fill }) => ({
        stroke: colour(color), width: 1.6, points: { show: false }, ...(fill && { fill: colour(color, 0.14) }),
      }))],
    }, this.#data as uPlot.AlignedData, this.#host);
  }
}

/** 1, 2, 5, 10, 20 and so on: how far apart the marks of whole numbers may be. */
const steps = Array.from({ length: 10 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

/** Variables of style.css as the colours that they are at the moment: a canvas does not know light-dark(). */
function palette(host: HTMLElement) {
  return (name: string, alpha?: number) => {
    const probe = document.createElement('span');
    probe.style.color = alpha ? `color-mix(in srgb, var(${name}) ${alpha * 100}%, transparent)` : `var(${name})`;
    host.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
}

const clock = (at: number, step: number) => new Date(at * 1000).toLocaleTimeString(locale(), {
  hour: '2-digit', minute: '2-digit', hour12: false, ...(step < 60 && { second: '2-digit' }),
});

/** 1200000 as 1.2M, or 120万. */
export const short = (value: number) => new Intl.NumberFormat(locale(), { notation: 'compact', maximumFractionDigits: 1 }).format(value);
