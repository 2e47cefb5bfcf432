// Alerts that are open: the worst first, each with what it is about.
import { html } from "../dom.js";
import { moment, readable, sentence } from "../format.js";
import { looks } from "../states.js";
import { About } from "./about.js";
import { Glyph } from "./glyph.js";
import { Empty } from "./parts.js";

const MOST_OPENED = 100;
const RANK = { page: 0, critical: 1, warning: 2 };

export const byWeight = (alerts) =>
  [...alerts].sort((a, b) => RANK[a.severity] - RANK[b.severity] || b.raised_at.localeCompare(a.raised_at));

/** Alerts of one name together: fifty facilities with one trouble are one line that opens. */
function grouped(alerts) {
  const groups = new Map();
  for (const alert of byWeight(alerts)) groups.set(alert.name, [...(groups.get(alert.name) || []), alert]);
  return [...groups.values()];
}

function One({ alert }) {
  return html`<p title=${alert.detail}><${About} alert=${alert} />: ${readable(alert.detail)}</p>`;
}

function Group({ alerts }) {
  const [first] = alerts;
  const { tone, shape, words } = looks("severity", first.severity);
  return html`<li data-tone=${tone}>
    <span><${Glyph} shape=${shape} /><span class="visually-hidden">${words}: </span></span>
    <strong>${sentence(first.name)}${alerts.length > 1 && html` <span class="count">${alerts.length}</span>`}</strong>
    <time datetime=${first.raised_at}>${moment(first.raised_at)}</time>
    <${One} alert=${first} />
    ${alerts.length > 1 &&
    html`<details><summary>${alerts.length - 1} more</summary>${alerts.slice(1, MOST_OPENED).map((alert) => html`<${One} key=${alert.subject} alert=${alert} />`)}</details>`}
  </li>`;
}

export function AlertList({ alerts }) {
  if (!alerts.length) return html`<${Empty} title="Nothing to worry about">No alert is open.</${Empty}>`;
  return html`<ul class="alerts">${grouped(alerts).map((group) => html`<${Group} key=${group[0].name} alerts=${group} />`)}</ul>`;
}
