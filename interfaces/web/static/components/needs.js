// What needs a person now: said at the head of a view, with what to do about it.
import { html } from "../dom.js";
import { Glyph } from "./glyph.js";

/** `action`: a button or a link. */
export function NeedsBanner({ tone, action, children }) {
  return html`<div class="needs" data-tone=${tone} role="status"><${Glyph} shape=${tone === "bad" ? "cross" : "triangle"} /><p>${children}</p>${action}</div>`;
}
