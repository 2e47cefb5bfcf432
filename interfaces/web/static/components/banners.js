// What must not be overlooked: that what is shown is old, and why.
import { connection } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { clockSeconds, span } from "../format.js";
import { live } from "../live.js";
import { useStore } from "../store.js";
import { Glyph } from "./glyph.js";

const REASONS = {
  database: "The database does not answer; figures are those last known.",
  projections: "The read models are behind the log; figures lag by that much.",
};

function Banner({ tone, shape, children }) {
  return html`<div class="banner fade" data-tone=${tone} role="status"><${Glyph} shape=${shape} /><span>${children}</span></div>`;
}

export function Banners() {
  const { offline, answeredAt, staleAgeS } = useStore(connection);
  const { staleS, staleReason } = useStore(live);
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
  if (staleAgeS !== null) {
    return html`<${Banner} tone="warn" shape="triangle"><strong>Figures are ${span(staleAgeS)} old.</strong> ${REASONS.database}</${Banner}>`;
  }
  return null;
}
