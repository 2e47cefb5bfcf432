// How long it is until a DR event begins or ends, by the server's clock.
import { html, useEffect, useState } from "../dom.js";
import { span } from "../format.js";
import { serverNow } from "../server_clock.js";

const TICK_MS = 1000;
const TO_COME = new Set(["accepted", "scheduled", "preparing", "active"]);

/** `starts in 2 h 05 min`, `ends in 12 min`; nothing once it is over. */
export function Countdown({ row: { status, starts_at: startsAt, ends_at: endsAt } }) {
  const [now, tick] = useState(serverNow);
  const isToCome = TO_COME.has(status) && Boolean(startsAt);
  useEffect(() => {
    if (!isToCome) return undefined;
    const timer = setInterval(() => tick(serverNow()), TICK_MS);
    return () => clearInterval(timer);
  }, [isToCome]);
  if (!isToCome) return null;
  const [starts, ends] = [Date.parse(startsAt) - now, Date.parse(endsAt) - now];
  if (ends <= 0) return null;
  const text = starts > 0 ? `starts in ${span(starts / 1000)}` : `ends in ${span(ends / 1000)}`;
  return html`<span class="countdown nowrap" data-tone=${starts > 0 ? "busy" : "ok"}>${text}</span>`;
}
