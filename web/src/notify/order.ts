// The form in which an operator writes a notification.

import type { Client } from 'duplex-client';
import { $, make, showError } from '../shared/dom.js';
import { onLanguage, say, t } from '../shared/i18n.js';
import { toast } from '../shared/toast.js';
import { groups, type Target } from './notification.js';
import { words } from './words.js';

export interface Person {
  id: string;
  name: string;
  groups: string[];
}

export class Order {
  private readonly to = $<HTMLSelectElement>('order-to');
  private readonly at = $<HTMLInputElement>('order-at');
  private key = crypto.randomUUID(); // the same until the order has been taken, so that it may be given again

  constructor(private readonly client: Client, private readonly people: Map<string, Person>) {
    const form = $<HTMLFormElement>('order');
    form.addEventListener('change', () => this.showWhen());
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.send();
    });
    for (const chip of form.querySelectorAll<HTMLElement>('[data-in]')) {
      chip.onclick = () => { this.at.value = local(new Date(Date.now() + 1000 * Number(chip.dataset.in))); };
    }
    onLanguage(() => this.showPeople(true));
    this.showWhen();
  }

  /** Whom one can choose. */
  showPeople(anew = false): void {
    const people = [...this.people.values()].sort((a, b) => a.name.localeCompare(b.name));
    const shown = JSON.stringify(people);
    if (this.to.dataset.shown === shown && !anew) return; // a list that is open stays open
    this.to.dataset.shown = shown;
    const chosen = this.to.value;
    const group = (label: string, ...options: HTMLOptionElement[]) => {
      const element = make('optgroup', '', ...options);
      element.label = label;
      return element;
    };
    const count = (group: string) => people.filter((person) => person.groups.includes(group)).length;
    this.to.replaceChildren(
      option('all', t('order.to-all', { n: people.length })),
      group(t('order.groups'), ...groups.map((id) => option(`group ${id}`, t('order.to-group', { group: t(`group.${id}`), n: count(id) })))),
    );
    const named = ({ id, name, groups: own }: Person) => option(`person ${id}`, [name, ...own.map((one) => t(`group.${one}`))].join(' · '));
    if (people.length > 0) this.to.append(group(t('order.people'), ...people.map(named)));
    if (chosen) this.to.value = chosen;
    if (this.to.selectedIndex < 0) this.to.selectedIndex = 0;
    say($('people'), 'order.known', { n: people.length });
  }

  private get later(): boolean {
    return $<HTMLFormElement>('order').querySelector<HTMLInputElement>('[name="when"]:checked')!.value === 'later';
  }

  private showWhen(): void {
    $('order-later').hidden = !this.later;
    if (this.later && !this.at.value) this.at.value = local(new Date(Date.now() + 60_000));
    say($('order-send'), this.later ? 'order.plan' : 'order.send');
  }

  private async send(): Promise<void> {
    const [title, text, button] = [$<HTMLInputElement>('order-title'), $<HTMLTextAreaElement>('order-text'), $<HTMLButtonElement>('order-send')];
    const [kind, id] = this.to.value.split(' ') as [Target['kind'], string?];
    const { later } = this;
    const when = new Date(this.at.value);
    if (!title.value.trim()) return this.refuse('error.notify.bad-title', title);
    if (later && Number.isNaN(when.getTime())) return this.refuse('error.notify.bad-time', this.at);
    button.disabled = true;
    try {
      await this.client.request('demo.notify.push', {
        title: title.value, text: text.value, to: { kind, id }, key: this.key, ...(later && { at: when.toISOString() }),
      }, { resend: true });
      this.key = crypto.randomUUID();
      title.value = text.value = '';
      showError($('order-error'));
      toast(t(later ? 'order.is-planned' : 'order.is-sent'));
      title.focus();
    } catch (error) {
      showError($('order-error'), words(error));
    }
    button.disabled = false;
  }

  private refuse(key: string, field: HTMLElement): void {
    showError($('order-error'), t(key));
    field.setAttribute('aria-invalid', 'true');
    field.addEventListener('input', () => field.removeAttribute('aria-invalid'), { once: true });
    field.focus();
  }
}

function option(value: string, text: string): HTMLOptionElement {
  const element = make('option', '', text);
  element.value = value;
  return element;
}

/** As the field for a time wants it: here, to the second. */
function local(date: Date): string {
  return new Date(date.getTime() - 60_000 * date.getTimezoneOffset()).toISOString().slice(0, 19);
}
