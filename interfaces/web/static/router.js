// Where one is: `#/view/id?option=value`. Every view can be linked to and gone back from.
import { createStore } from "./store.js";

/** As a person typed it where that cannot be decoded. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** What the address says now; `route` hears of it a moment later. `view` null: none, where the person begins. */
export function read() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...rest] = path.split("/").map(decoded);
  return { view: view || null, id: rest.join("/") || null, options: new URLSearchParams(query || ""), hash: location.hash };
}

export const route = createStore(read());
addEventListener("hashchange", () => route.set(read()));

/** The address of a view: `hrefTo("dr-events", id, {as_of: "..."})`. */
export function hrefTo(view, id = null, options = {}) {
  const query = new URLSearchParams(Object.entries(options).filter(([, value]) => value !== null && value !== undefined));
  const text = query.toString();
  return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}${text ? `?${text}` : ""}`;
}

export function go(view, id, options) {
  location.hash = hrefTo(view, id, options);
}

/** Changes an option of this view without a step in the history, as a slider does. */
export function setOption(name, value) {
  const { view, id, options } = read();
  const kept = Object.fromEntries(options);
  history.replaceState(null, "", hrefTo(view, id, { ...kept, [name]: value }));
  route.set(read());
}
