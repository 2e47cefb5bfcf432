// How far something is, as a bar with words.
import { html } from "../../dom.js";

/** Without `of` the end is not known. */
export const Progress = ({ words, done, of }) =>
  html`<div class="progress" role="status"><progress aria-label=${words} value=${of ? done : undefined} max=${of || undefined}></progress><span>${words}</span></div>`;
