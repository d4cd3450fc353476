import { texts as frames } from './texts-frames.js';
import { texts as parts } from './texts-parts.js';

export const texts = {
  en: { ...parts.en, ...frames.en },
  zh: { ...parts.zh, ...frames.zh },
};
