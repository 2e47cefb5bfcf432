// What needs a person now: said at the head of a view, with what to do about it.
import { html } from "../dom.js";
import { facilities, sentence, short } from "../format.js";
import { useQuery } from "../query.js";
import { hrefTo } from "../router.js";
import { may, session } from "../session.js";
import { useStore } from "../store.js";
import { Glyph } from "./glyph.js";

const MOST_NAMED = 3;

/** `action`: a button or a link. */
export function NeedsBanner({ tone, action, children }) {
  return html`<div class="needs" data-tone=${tone} role="status"><${Glyph} shape=${tone === "bad" ? "cross" : "triangle"} /><p>${children}</p>${action}</div>`;
}

function Blocked({ readiness }) {
  const found = Object.entries(readiness || {}).filter(([, one]) => one.blocked > 0);
  if (!found.length) return null;
  const number = found.reduce((sum, [, one]) => sum + one.blocked, 0);
  const more = found.length - MOST_NAMED;
  const action = html`<span class="actions">${found.slice(0, MOST_NAMED).map(([id, one]) => html`<a class="button" key=${id}
    href=${hrefTo("dr-events", id)}>${found.length === 1 ? "Approve in the DR event" : `${short(id)}: ${one.blocked}`}</a>`)}${more > 0 && html`<a class="button" href=${hrefTo("dr-events")}>and ${more} more</a>`}</span>`;
  return html`<${NeedsBanner} tone="warn" action=${action}><strong>${facilities(number)} blocked.</strong> Degraded forecasts keep ${number === 1 ? "it" : "them"} out of ${found.length === 1 ? "a DR event" : `${found.length} DR events`} until you approve.</${NeedsBanner}>`;
}

/** Alerts that wake somebody, and of which nobody has said yet that they see to it. */
function Urgent() {
  const { data } = useQuery("/api/alerts?limit=200", { topics: ["alert"], everyMs: 30_000 });
  const found = (data?.items || []).filter((one) => one.severity === "page" && !one.acknowledged_at);
  if (!found.length) return null;
  const names = [...new Set(found.map((one) => sentence(one.name)))].join(", ");
  return html`<${NeedsBanner} tone="bad" action=${html`<a class="button" href=${hrefTo("operations")}>Acknowledge in operations</a>`}>
    <strong>${found.length === 1 ? "One alert needs" : `${found.length} alerts need`} you now:</strong> ${names}.</${NeedsBanner}>`;
}

/** For who may do something about it. `readiness`: of `/api/portfolio`. */
export function NeedsNow({ readiness }) {
  return may("operate", useStore(session)) ? html`<${Urgent} /><${Blocked} readiness=${readiness} />` : null;
}
