// The browser's own notifications, for when the page is there but not looked at. They are shown only if the visitor asks for them.

import { $ } from '../shared/dom.js';
import { say } from '../shared/i18n.js';
import type { Notice } from './notification.js';

type Standing = 'unsupported' | 'insecure' | 'default' | 'granted' | 'denied';
let broken = false; // there is such a thing, and it does not work: some browsers show them only from a service worker

function standing(): Standing {
  if (!isSecureContext) return 'insecure';
  if (broken || typeof Notification !== 'function') return 'unsupported';
  return Notification.permission;
}

/** Says how it stands, and lets the visitor ask for them. */
export function alerts(): void {
  const show = () => {
    const now = standing();
    say($('alerts-text'), `alerts.${now}`);
    $('alerts-text').dataset.standing = now;
    $('alerts-ask').hidden = now !== 'default';
  };
  $('alerts-ask').onclick = async () => {
    await Notification.requestPermission();
    show();
  };
  void navigator.permissions?.query({ name: 'notifications' }).then((status) => { status.onchange = show; }, () => {});
  show();
  refresh = show;
}

let refresh = () => {};

/** Shows one outside of the page, if nobody looks at the page and the visitor wants it. */
export function alertTo(notice: Notice, opened: () => void): void {
  if (!document.hidden || standing() !== 'granted') return;
  try {
    const shown = new Notification(notice.title, { body: notice.text, tag: notice.id });
    shown.onclick = () => {
      window.focus();
      shown.close();
      opened();
    };
  } catch {
    broken = true;
    refresh();
  }
}
