// Short messages of what was just done, said to screen readers, too.
import { html } from "../dom.js";
import { createStore, useStore } from "../store.js";

const SHOWN_MS = 6_000;
const toasts = createStore({ items: [] });
let number = 0;

export function toast(text) {
  const item = { text, number: (number += 1) };
  toasts.set({ items: [...toasts.get().items, item] });
  setTimeout(() => toasts.set({ items: toasts.get().items.filter((other) => other !== item) }), SHOWN_MS);
}

export function Toasts() {
  const { items } = useStore(toasts);
  return html`<div class="toasts" role="status">${items.map((item) => html`<p class="toast fade" key=${item.number}>${item.text}</p>`)}</div>`;
}
