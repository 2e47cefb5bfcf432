// What a view reads: fetched once for all who look at it, kept while it is fetched again, told of its failures.
import { Problem, get, getAll } from "./api.js";
import { useEffect, useState } from "./dom.js";
import { onChange } from "./live.js";
import { leave, session } from "./session.js";

const LEAST_APART_MS = 1_200;
const KEPT_MS = 60_000;
const RETRY_MS = 2_000;
const RETRY_MOST_MS = 30_000;

const queries = new Map();

/** `data` stays while it is fetched again or cannot be; `problem` says why the newest try failed. */
class Query {
  constructor(name, load) {
    this.name = name;
    this.load = load;
    this.watchers = new Map();
    this.state = { data: undefined, problem: null, at: null, loading: false };
    this.began = 0;
    this.again = null;
    this.failures = 0;
    this.retrying = null;
  }

  concerns(topics) {
    if (topics === null) return true;
    for (const wanted of this.watchers.values()) if (wanted.some((topic) => topics.has(topic))) return true;
    return false;
  }

  show(changes) {
    this.state = { ...this.state, ...changes };
    for (const watcher of [...this.watchers.keys()]) watcher(this.state);
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
      this.failures = 0;
      if (this.controller === controller) this.show({ data, problem: null, at: Date.now() });
    } catch (error) {
      if (controller.signal.aborted) return;
      const problem = error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message });
      if (problem.mayPass) this.retryLater(problem);
      this.show({ problem });
      if (error.status === 401 && session.get().phase === "signed-in") leave("The session has ended; sign in again.");
    } finally {
      if (this.controller === controller) {
        this.controller = null;
        this.show({ loading: false });
      }
    }
  }

  /** Later with each failure, and not all queries at the same moment. */
  retryLater(problem) {
    problem.isAskedAgain = true;
    const waitMs = Math.min(RETRY_MOST_MS, RETRY_MS * 2 ** this.failures) * (0.75 + Math.random() / 2);
    this.failures += 1;
    this.retrying = setTimeout(() => this.refetch(), Math.max(waitMs, (problem.retryAfterS || 0) * 1000));
  }

  leave(watcher) {
    this.watchers.delete(watcher);
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
  for (const query of queries.values()) if (query.watchers.size && query.concerns(topics)) query.refetch();
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
