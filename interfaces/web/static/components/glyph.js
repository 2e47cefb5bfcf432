// Shapes that go with colours, and the few icons of the page. Drawn here, so that nothing is loaded for them.
import { html } from "../dom.js";

const SHAPES = {
  dot: html`<circle class="solid" cx="6" cy="6" r="4" stroke="none" />`,
  ring: html`<circle cx="6" cy="6" r="4" />`,
  half: html`<circle cx="6" cy="6" r="4.4" /><path class="solid" d="M6 1.6a4.4 4.4 0 0 1 0 8.8z" stroke="none" />`,
  play: html`<path class="solid" d="M2.5 1.2 11 6l-8.5 4.8z" stroke="none" />`,
  check: html`<path d="M1.5 6.5 4.7 9.7 10.5 2.5" />`,
  cross: html`<path d="M2 2l8 8M10 2l-8 8" />`,
  triangle: html`<path class="solid" d="M6 .8 11.5 11H.5z" stroke="none" />`,
  square: html`<rect class="solid" x="1.5" y="1.5" width="9" height="9" stroke="none" />`,
};

export const Glyph = ({ shape }) => html`<svg class="glyph" viewBox="0 0 12 12" aria-hidden="true">${SHAPES[shape]}</svg>`;

const ICONS = {
  mark: html`<path d="M12 2.5 20 6v6c0 5-3.4 8.2-8 9.5C7.4 20.2 4 17 4 12V6z" /><path d="M7.5 12h2l1.5-3.5 2.5 6.5 1.5-3h1.5" />`,
  portfolio: html`<path d="M4 20V10m5 10V4m5 16v-7m5 7V8" />`,
  "dr-events": html`<path d="M13 2 5 13.5h6L10 22l8.5-12h-6.2z" />`,
  facilities: html`<path d="M4 21V5l8-2.5V21M12 9h8v12M2.5 21h19M7.5 8.5v.01M7.5 12.5v.01M7.5 16.5v.01M16 13v.01M16 17v.01" />`,
  audit: html`<path d="M12 2.5 20 6v6c0 5-3.4 8.2-8 9.5C7.4 20.2 4 17 4 12V6z" /><path d="m8.5 12 2.5 2.5 4.5-5" />`,
  changes: html`<path d="M4 20h4L19.5 8.5l-4-4L4 16zM13 7l4 4" />`,
  operations: html`<path d="M3 12h4l2.5-7 5 14 2.5-7h4" />`,
  setup: html`<path d="M4 7h9m5 0h2M4 17h2m5 0h9" /><circle cx="15.5" cy="7" r="2.5" /><circle cx="8.5" cy="17" r="2.5" />`,
  statements: html`<path d="M6 2.5h9l4 4V21.5H6zM9 9h6M9 13h7M9 17h7" />`,
  programs: html`<path d="M6 2.5h9l4 4V21.5H6zM9 9h6M9 13h7M9 17h7" />`,
  search: html`<circle cx="10.5" cy="10.5" r="6" /><path d="m15 15 6 6" />`,
  sun: html`<circle cx="12" cy="12" r="4" /><path d="M12 2v2.5M12 19.5V22M2 12h2.5M19.5 12H22M5 5l1.8 1.8M17.2 17.2 19 19M19 5l-1.8 1.8M6.8 17.2 5 19" />`,
  moon: html`<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z" />`,
  auto: html`<circle cx="12" cy="12" r="8.5" /><path fill="currentColor" d="M12 3.5a8.5 8.5 0 0 1 0 17z" />`,
  down: html`<path d="m5 9 7 7 7-7" />`,
  empty: html`<path d="M3.5 13.5 6 5h12l2.5 8.5V19h-17zM3.5 13.5H9l1.5 2.5h3l1.5-2.5h5.5" />`,
  out: html`<path d="M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9" />`,
  download: html`<path d="M12 3v12m-5-5 5 5 5-5M4 20h16" />`,
};

export const Icon = ({ name, size = 20 }) => html`<svg viewBox="0 0 24 24" width=${size} height=${size} fill="none"
  stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${ICONS[name]}</svg>`;
