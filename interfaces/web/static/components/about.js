// What an alert is about: a link where the page has a view of it, and its text with moments and ids as people read them.
import { html } from "../dom.js";
import { readable } from "../format.js";
import { hrefTo } from "../router.js";

const OF_FACILITIES = new Set([
  "bms_breaker_open", "bms_drift", "command_dead_lettered", "degraded_forecast", "forecast_drift", "restore_failing",
]);

function placeOf({ name, subject }) {
  if (name === "batch_below_80_percent") return hrefTo("dr-events", subject);
  return OF_FACILITIES.has(name) ? hrefTo("facilities", subject.split("/")[0]) : null;
}

/** The alert's subject. */
export function About({ alert }) {
  const place = placeOf(alert);
  const text = html`<span title=${alert.subject}>${readable(alert.subject)}</span>`;
  return place ? html`<a href=${place}>${text}</a>` : text;
}
