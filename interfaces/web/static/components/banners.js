// What must not be overlooked: that what is shown is old, and why.
import { connection } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { clockSeconds, span } from "../format.js";
import { live } from "../live.js";
import { shown } from "../query.js";
import { useStore } from "../store.js";
import { Glyph } from "./glyph.js";

const BEHIND = "The read models are behind the log; figures lag by that much.";
const REASONS = { database: "The database does not answer; figures are those last known.", projections: BEHIND };
/** By what an answer calls its source; a list of what meters say now names none, and is of a memory. */
const SOURCES = { read_models: BEHIND, replica: "They are of a replica, which may be that far behind." };
const LAST_KNOWN = "A store does not answer; they are those last known.";

function Banner({ tone, shape, children }) {
  return html`<div class="banner fade" data-tone=${tone} role="status"><${Glyph} shape=${shape} /><span>${children}</span></div>`;
}

export function Banners() {
  const { offline, answeredAt } = useStore(connection);
  const { staleS, staleReason } = useStore(live);
  const { stale } = useStore(shown);
  const [, tick] = useState(0);
  useEffect(() => {
    if (!offline) return undefined;
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [offline]);
  if (offline) {
    const since = answeredAt && `Figures are of ${clockSeconds(new Date(answeredAt).toISOString())}, ${span((Date.now() - answeredAt) / 1000)} ago. `;
    return html`<${Banner} tone="bad" shape="cross"><strong>Offline.</strong> ${since}The page tries again by itself.</${Banner}>`;
  }
  if (staleS !== null && staleReason) {
    return html`<${Banner} tone="warn" shape="triangle"><strong>Stale for ${span(staleS)}.</strong> ${REASONS[staleReason] || staleReason}</${Banner}>`;
  }
  if (stale) {
    return html`<${Banner} tone="warn" shape="triangle"><strong>Figures are up to ${span(stale.ageS)} old.</strong> ${SOURCES[stale.source] || LAST_KNOWN}</${Banner}>`;
  }
  return null;
}
