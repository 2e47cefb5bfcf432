// Alerts that are open: the worst first, each with what it is about.
import { html } from "../dom.js";
import { moment, sentence } from "../format.js";
import { looks } from "../states.js";
import { Glyph } from "./glyph.js";
import { Empty } from "./parts.js";

const RANK = { page: 0, critical: 1, warning: 2 };

export const byWeight = (alerts) =>
  [...alerts].sort((a, b) => RANK[a.severity] - RANK[b.severity] || b.raised_at.localeCompare(a.raised_at));

export function AlertList({ alerts, most = 50 }) {
  if (!alerts.length) return html`<${Empty} title="Nothing to worry about">No alert is open.</${Empty}>`;
  return html`<ul class="alerts">
    ${byWeight(alerts).slice(0, most).map((alert) => {
      const { tone, shape, words } = looks("severity", alert.severity);
      return html`<li key=${`${alert.name} ${alert.subject} ${alert.raised_at}`} data-tone=${tone}>
        <span><${Glyph} shape=${shape} /><span class="visually-hidden">${words}: </span></span>
        <strong>${sentence(alert.name)}</strong>
        <time datetime=${alert.raised_at}>${moment(alert.raised_at)}</time>
        <p>${alert.subject}: ${alert.detail}</p>
      </li>`;
    })}
    ${alerts.length > most && html`<li><span></span><span class="faint">and ${alerts.length - most} more</span></li>`}
  </ul>`;
}
