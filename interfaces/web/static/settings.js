// What a person has chosen for this browser: theme and time zone.
import { createStore } from "./store.js";

const THEME = "gridproof-theme";
const ZONE = "gridproof-zone";

function stored(name, otherwise) {
  try {
    return localStorage.getItem(name) || otherwise;
  } catch {
    return otherwise; // storage is forbidden in some browsers
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // As above: the choice then lasts as long as the page.
  }
}

export const settings = createStore({ theme: stored(THEME, "auto"), zone: stored(ZONE, "utc") });

export function chooseTheme(theme) {
  keep(THEME, theme);
  settings.set({ theme });
  dispatchEvent(new Event("gridproof-theme-chosen"));
}

export function chooseZone(zone) {
  keep(ZONE, zone);
  settings.set({ zone });
}
