// The buttons that make something pass over the connection.

import { $, make, showError } from '../shared/dom.js';
import { say, t } from '../shared/i18n.js';
import type { Demo, Ended } from './demo.js';
import type { Frame } from './frame.js';

/** Close codes to choose from: by whom, and which; 0 stands for a frame without a code, -1 for none at all. */
const closings: [by: 'page' | 'server', ...codes: number[]][] = [
  ['page', 1000, 3000, 4000, 0, 1001],
  ['server', 1000, 1001, 1008, 1011, 1012, 1013, 4000, 0, -1],
];

export class Controls {
  #pair: Frame[] = []; // compressed messages of the page since both were sent
  #watching = false;
  #heard = 0;

  /** follow is called before something is sent, with what is to be looked at when it passes. */
  constructor(readonly demo: Demo, readonly follow: (awaited?: (frame: Frame) => boolean) => void) {
    this.#fillCloseCodes();
    $('compression-off').addEventListener('click', () => this.#compress(false));
    $('compression-on').addEventListener('click', () => this.#compress(true));
    $('again').addEventListener('click', () => {
      this.follow();
      demo.connect();
    });
    $('send-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send('explain.text', ours, $<HTMLInputElement>('text').value);
    });
    $('send-binary').addEventListener('click', () => this.#send('explain.binary', ours, noise(Number($<HTMLSelectElement>('size').value))));
    $('ping').addEventListener('click', () => this.#send('explain.ping', ({ type }) => type === 'ping', '/ping are you there?'));
    $('fragments').addEventListener('click', () => this.#send('explain.fragments', theirs, `/fragments 3 ${t('control.fragments-text')}`));
    $('twice').addEventListener('click', () => this.#twice());
    $('send-invalid').addEventListener('click', () => {
      const kind = $<HTMLSelectElement>('invalid').value;
      this.#explain(`explain.invalid-${kind}`, theirs);
      demo.last(`/invalid ${kind}`);
    });
    $('close-form').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#close();
    });
    $<HTMLInputElement>('text').value = t('control.hello');
  }

  /** Shows how the connection is. */
  show(state: 'connecting' | 'open' | 'closed', ended?: Ended & { opened: boolean }): void {
    const pill = $('socket-state');
    pill.dataset.state = state;
    pill.className = `pill ${{ connecting: 'warn', open: 'good', closed: 'bad' }[state]}`;
    if (ended) pill.dataset.code = String(ended.code);
    if (state === 'closed') say(pill, ended!.opened ? 'socket.closed' : 'socket.failed', ended);
    else say(pill, `socket.${state}`, { extensions: this.demo.extensions });
    $('again').hidden = state !== 'closed';
    for (const button of document.querySelectorAll<HTMLButtonElement>('.control-grid button')) button.disabled = state !== 'open';
  }

  /** Shows what the page itself is told: whole messages, and nothing else. */
  heard(message: string | ArrayBuffer): void {
    this.#heard++;
    const text = typeof message === 'string';
    say($('heard'), text ? 'heard.text' : 'heard.binary', {
      count: this.#heard, bytes: text ? undefined : message.byteLength, text: text ? message.slice(0, shownOfMessage) : undefined,
    });
  }

  /** Sees a frame that has passed: those of two messages alike are compared. */
  passed(frame: Frame): void {
    if (!this.#watching || frame.server || frame.inflated === undefined) return;
    this.#pair.push(frame);
    if (this.#pair.length < 2) return;
    this.#watching = false;
    const [first, second] = this.#pair as [Frame, Frame];
    say($('explain'), 'explain.pair', { whole: first.inflated, first: first.length, second: second.length });
  }

  translate(): void {
    this.#fillCloseCodes();
    const text = $<HTMLInputElement>('text');
    if (hellos.has(text.value)) text.value = t('control.hello');
    hellos.add(t('control.hello'));
  }

  #explain(key: string, awaited?: (frame: Frame) => boolean, args?: object): void {
    showError($('refused'));
    say($('explain'), key, args);
    this.#watching = false;
    this.follow(awaited);
  }

  #send(key: string, awaited: (frame: Frame) => boolean, data: string | Uint8Array<ArrayBuffer>): void {
    this.#explain(key, awaited);
    this.demo.send(data);
  }

  /** Another connection, since it is agreed on in the handshake. */
  #compress(on: boolean): void {
    $('compression-on').setAttribute('aria-pressed', String(on));
    $('compression-off').setAttribute('aria-pressed', String(!on));
    this.#explain(on ? 'explain.compression-on' : 'explain.compression-off');
    this.demo.compression = on;
    this.demo.connect();
  }

  /** Two messages as an application has them: the same but for some digits. */
  #twice(): void {
    this.#explain(this.demo.compression ? 'explain.twice-on' : 'explain.twice-off', ours);
    this.#pair = [];
    this.#watching = this.demo.compression;
    for (const [offer, ask] of [[101.25, 101.5], [101.3, 101.55]]) this.demo.send(quote(offer!, ask!));
  }

  #close(): void {
    const [by, text] = $<HTMLSelectElement>('close-code').value.split(' ');
    const [code, reason] = [Number(text), $<HTMLInputElement>('close-reason').value];
    if (by === 'server') {
      this.#explain(code < 0 ? 'explain.drop' : 'explain.close-server', closes, { code });
      this.demo.last(code < 0 ? '/drop' : code === 0 ? '/close' : `/close ${code} ${reason}`.trimEnd());
      return;
    }
    this.#explain('explain.close-page', closes, { code });
    try {
      this.demo.close(code || undefined, reason);
    } catch (error) {
      say($('explain'), 'explain.close-refused', { code });
      showError($('refused'), (error as Error).message);
    }
  }

  #fillCloseCodes(): void {
    const select = $<HTMLSelectElement>('close-code');
    const { value } = select;
    select.replaceChildren(...closings.map(([by, ...codes]) => {
      const group = make('optgroup', '', ...codes.map((code) => {
        const option = make('option', '', t(`close.${by}-option`, { what: code > 0 ? `${code} · ${t(`close.${code}`)}` : t(`close.${code}`) }));
        option.value = `${by} ${code}`;
        return option;
      }));
      group.label = t(`close.${by}`);
      return group;
    }));
    if (value) select.value = value;
  }
}

const shownOfMessage = 200; // characters

const ours = (frame: Frame) => !frame.server;
const theirs = (frame: Frame) => frame.server;
const closes = (frame: Frame) => frame.type === 'close';

/** Texts that the field has had from us: they follow the language, what a visitor has written does not. */
const hellos = new Set(['', 'Hello, WebSocket 👋', '你好，WebSocket 👋']);

const quote = (bid: number, ask: number) => JSON.stringify({
  symbol: 'DPLX', exchange: 'Harbour', currency: 'EUR', bid, ask, time: '2026-01-05T09:30:00.000Z', conditions: ['regular', 'firm'],
});

/** Bytes that say nothing; at most 65,536, which is what getRandomValues gives at one time. */
const noise = (size: number) => crypto.getRandomValues(new Uint8Array(size));
