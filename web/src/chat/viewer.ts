// A picture on its own.

import { $ } from '../shared/dom.js';
import { t } from '../shared/i18n.js';

export interface Enlarged {
  url: string;
  from: string;
  name: string;
}

const viewer = $<HTMLDialogElement>('viewer');
const image = $<HTMLImageElement>('viewer-image');

export function enlarge({ url, from, name }: Enlarged): void {
  image.src = url;
  image.alt = t('picture.alt', { from, name });
  $('viewer-caption').textContent = `${from} · ${name}`;
  const link = $<HTMLAnchorElement>('viewer-save');
  link.href = url;
  link.download = name;
  viewer.showModal();
}

$('viewer-close').addEventListener('click', () => viewer.close());
viewer.addEventListener('click', ({ target }) => target === viewer && viewer.close());
viewer.addEventListener('close', () => image.removeAttribute('src'));
