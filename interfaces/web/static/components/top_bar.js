// The bar: the views, how fresh what is shown is, theme, time zone and who has signed in.
import { connection } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { clockSeconds, span, zoneName } from "../format.js";
import { live } from "../live.js";
import { hrefTo, route } from "../router.js";
import { ageSeconds, isAccelerated, isKnown, serverNow } from "../server_clock.js";
import { homeOf, may, session, signOut } from "../session.js";
import { chooseTheme, chooseZone, settings } from "../settings.js";
import { useStore } from "../store.js";
import { Icon } from "./glyph.js";
import { Chip } from "./parts.js";
import { toast } from "./toasts.js";

/** View, words, what the person must be allowed, and its id where it has one. */
const TABS = [
  ["portfolio", "Portfolio", "portfolio"],
  ["dr-events", "DR events", "drEvents"],
  ["facilities", "Facilities", "portfolio"],
  ["audit", "Audit", "audit"],
  ["changes", "Changes", "changes"],
  ["operations", "Operations", "operations"],
  ["setup", "Setup", "operate"],
];

/** A key of one facility has that one and its statement. */
const tabsOf = (signedIn) => {
  const id = signedIn.facilityId;
  if (id) return [["facilities", "Facility", id], ["statements", "Statement", id]];
  return [...TABS.filter(([, , needs]) => may(needs, signedIn)).map(([name, words]) => [name, words, null]),
    ...(signedIn.role === "utility" ? [["programs", "Statements", null]] : [])];
};
const SECOND_MS = 1000;
const READINGS_OLD_S = 120;

function Tabs() {
  const { view } = useStore(route);
  const signedIn = useStore(session);
  return html`<nav class="nav" aria-label="Views">
    ${tabsOf(signedIn).map(
      ([name, words, id]) => html`<a key=${name} href=${hrefTo(name, id)} aria-current=${(view || homeOf(signedIn)[0]) === name ? "page" : undefined}>
        <${Icon} name=${name} size="18" />${words}</a>`,
    )}
  </nav>`;
}

/** How the page hears of changes, in a word. */
function modeOf({ offline }, { streaming, staleS }) {
  if (offline) return { tone: "bad", shape: "cross", words: "Offline" };
  if (staleS !== null) return { tone: "warn", shape: "triangle", words: `Stale ${span(staleS)}` };
  if (streaming) return { tone: "ok", shape: "dot", words: "Live" };
  return { tone: "busy", shape: "half", words: "Every 30 s" };
}

/** Always seen: whether it is live, the server's time, and how old the newest reading is. */
function Freshness() {
  const reached = useStore(connection);
  const heard = useStore(live);
  useStore(settings);
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), SECOND_MS);
    return () => clearInterval(timer);
  }, []);
  const ageS = isKnown() ? ageSeconds(heard.readingsAt) : null;
  const isOld = ageS !== null && ageS > READINGS_OLD_S;
  return html`<div class="fresh">
    <${Chip} look=${modeOf(reached, heard)} />
    <span class="fresh-facts">
      <span title=${isAccelerated() ? "The server's clock, which runs faster than ours" : "The server's clock"}>
        ${clockSeconds(new Date(serverNow()).toISOString())} <span class="faint">${zoneName()}</span></span>
      <span class=${isOld ? "toned" : "faint"} data-tone=${isOld ? "warn" : undefined}>
        ${!heard.readingsAt ? "no readings yet" : ageS === null ? html`<span class="not-narrow">last </span>readings ${clockSeconds(heard.readingsAt)}` : html`<span class="not-narrow">last </span>readings ${span(ageS)} ago`}</span>
    </span>
  </div>`;
}

const NEXT_THEME = { auto: "light", light: "dark", dark: "auto" };
const THEME_ICON = { auto: "auto", light: "sun", dark: "moon" };

function Choices() {
  const { theme, zone } = useStore(settings);
  const { role } = useStore(session);
  const leave = async () => {
    try {
      await signOut();
    } catch (error) {
      toast(`Not signed out: ${error.message}`);
    }
  };
  return html`
    ${may("drEvents") && html`<a class="button quiet small" href=${hrefTo("search")} title="Search facilities and DR events"><${Icon} name="search" /><span class="visually-hidden">Search</span></a>`}
    <button class="button quiet small" type="button" onClick=${() => chooseZone(zone === "utc" ? "local" : "utc")}
      aria-label=${`Times are in ${zoneName()}; change`} title="Times in UTC or as of this browser">${zone === "utc" ? "UTC" : "Local"}</button>
    <button class="button quiet small" type="button" onClick=${() => chooseTheme(NEXT_THEME[theme])}
      aria-label=${`Theme: ${theme}; change`} title=${`Theme: ${theme}`}><${Icon} name=${THEME_ICON[theme]} /></button>
    <button class="button quiet small" type="button" onClick=${leave} title="Sign out"><${Icon} name="out" />
      <span class="visually-hidden">Sign out</span>${role && html` <span class="wide-only">${role}</span>`}</button>`;
}

export function TopBar() {
  return html`<header class="bar">
    <div class="bar-inner">
      <a class="brand" href=${hrefTo(...homeOf())} aria-label="Gridproof, where one begins"><${Icon} name="mark" size="24" /><span class="wide-only">Gridproof</span></a>
      <${Tabs} />
      <div class="bar-end"><${Freshness} /><${Choices} /></div>
    </div>
  </header>`;
}
