// What a view reads: fetched once for all who look at it, kept while it is fetched again, told of its failures.
import { Problem, get, getAll, labelOf } from "./api.js";
import { useEffect, useState } from "./dom.js";
import { onChange } from "./live.js";
import { leave, session } from "./session.js";
import { createStore } from "./store.js";

const LEAST_APART_MS = 1_200;
const KEPT_MS = 60_000;
const RETRY_MS = 2_000;
const RETRY_MOST_MS = 30_000;
const LAG_KNOWN_MS = 1_000; // the server looks once a second how far its replica is behind
const OF_PRIMARY = ["alert", "telemetry"];

const queries = new Map();
const toldAt = new Map();

/** `stale`: `{ageS, source}` of the oldest answer that is shown and not of now, or null. */
export const shown = createStore({ stale: null });

function noteShown() {
  const stale = [...queries.values()].map(({ watchers, state }) => (watchers.size ? state.stale : null)).filter(Boolean);
  shown.set({ stale: stale.sort((a, b) => b.ageS - a.ageS)[0] || null });
}

/** `data` stays while it is fetched again or cannot be; `problem` says why the newest try failed. */
class Query {
  constructor(name, load) {
    this.name = name;
    this.load = load;
    this.watchers = new Map();
    this.state = { data: undefined, problem: null, at: null, loading: false, stale: null };
    this.began = 0;
    this.again = null;
    this.failures = 0;
    this.retrying = null;
  }

  concerns(topics) {
    if (!topics || topics.has("everything")) return true;
    for (const wanted of this.watchers.values()) if (wanted.some((topic) => topics.has(topic))) return true;
    return false;
  }

  show(changes) {
    this.state = { ...this.state, ...changes };
    for (const watcher of [...this.watchers.keys()]) watcher(this.state);
    noteShown();
  }

  /** Fetches now, or as soon as the last fetch is over and a second old. */
  refetch() {
    if (this.again || !this.watchers.size) return;
    const wait = this.controller ? LEAST_APART_MS : Math.max(0, this.began + LEAST_APART_MS - Date.now());
    if (!wait) this.fetch();
    else {
      this.again = setTimeout(() => {
        this.again = null;
        if (this.controller) this.refetch();
        else this.fetch();
      }, wait);
    }
  }

  async fetch() {
    const controller = new AbortController();
    this.controller = controller;
    this.began = Date.now();
    clearTimeout(this.retrying);
    this.show({ loading: true });
    try {
      const data = await this.load(controller.signal);
      if (this.controller !== controller) return;
      const { stale, lagS } = labelOf(controller.signal);
      this.show({ data, problem: null, at: Date.now(), stale });
      const earlyMs = lagS === null ? 0 : this.toldAt() + LAG_KNOWN_MS + lagS * 1000 - this.began;
      if (stale || earlyMs > 0) this.fetchLater(earlyMs);
      else this.failures = 0;
    } catch (error) {
      if (controller.signal.aborted) return;
      const problem = error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message });
      if (problem.mayPass) {
        problem.isAskedAgain = true;
        this.fetchLater((problem.retryAfterS || 0) * 1000);
      }
      this.show({ problem });
      if (error.status === 401 && session.get().phase === "signed-in") leave("The session has ended; sign in again.");
    } finally {
      if (this.controller === controller) {
        this.controller = null;
        this.show({ loading: false });
      }
    }
  }

  /** When it was last told that what a replica may not have yet has changed. */
  toldAt() {
    const wanted = [...this.watchers.values()].flat().filter((topic) => !OF_PRIMARY.includes(topic));
    return wanted.length ? Math.max(...["everything", ...wanted].map((topic) => toldAt.get(topic) || 0)) : 0;
  }

  /** Later with each try that did not give what is so now, and not all queries at the same moment. */
  fetchLater(leastMs) {
    const waitMs = Math.min(RETRY_MOST_MS, RETRY_MS * 2 ** this.failures) * (0.75 + Math.random() / 2);
    this.failures += 1;
    this.retrying = setTimeout(() => this.refetch(), Math.max(waitMs, leastMs));
  }

  leave(watcher) {
    this.watchers.delete(watcher);
    noteShown();
    if (this.watchers.size) return;
    this.controller?.abort();
    this.controller = null;
    clearTimeout(this.again);
    clearTimeout(this.retrying);
    this.again = null;
    setTimeout(() => !this.watchers.size && queries.get(this.name) === this && queries.delete(this.name), KEPT_MS);
  }
}

onChange((topics) => {
  for (const topic of topics || []) toldAt.set(topic, Date.now());
  for (const query of queries.values()) {
    if (!query.watchers.size || !query.concerns(topics)) continue;
    query.failures = 0;
    query.refetch();
  }
});

session.watch(({ phase }) => {
  if (phase === "signed-out") queries.clear();
});

/**
 * What `load(signal)` gives, under `name`; null asks for nothing. It is fetched again when one of `topics` changes
 * ("dr-event", "dispatch", "facility", "program", "alert", "telemetry", "dr-event:<id>"), every `everyMs`, and some time after a
 * failure that may pass; `retry()` asks at once.
 */
export function useLoaded(name, load, { topics = [], everyMs = 0 } = {}) {
  const [state, setState] = useState({ data: undefined, problem: null, at: null, loading: Boolean(name) });
  useEffect(() => {
    if (!name) {
      setState({ data: undefined, problem: null, at: null, loading: false });
      return undefined;
    }
    const query = queries.get(name) || new Query(name, load);
    queries.set(name, query);
    const watcher = (newest) => setState(newest);
    query.watchers.set(watcher, topics);
    setState(query.state.data === undefined ? { ...query.state, loading: true } : query.state);
    query.refetch();
    const timer = everyMs ? setInterval(() => !document.hidden && query.refetch(), everyMs) : null;
    return () => {
      clearInterval(timer);
      query.leave(watcher);
    };
  }, [name, topics.join(), everyMs]);
  return { ...state, retry: () => queries.get(name)?.refetch() };
}

export const useQuery = (path, options) => useLoaded(path, (signal) => get(path, { signal }), options);
/** Every item of a list that pages. */
export const useList = (path, options) => useLoaded(path && `all ${path}`, (signal) => getAll(path, { signal }), options);

/** Fetches again what begins with `prefix`: after a command, before the stream tells of it. */
export function refetch(prefix) {
  for (const [name, query] of queries) if (name.replace("all ", "").startsWith(prefix)) query.refetch();
}
