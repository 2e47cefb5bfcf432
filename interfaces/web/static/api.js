// The API as the page asks it: the session's cookie (or a key of this tab), problem documents, ETags, time-outs.
import { createStore } from "./store.js";

const KEY = "gridproof-key";
export const TIMEOUT_MS = 20_000;
const MOST_REMEMBERED = 100;

/** Whether the server answers at all, and when it did last. */
export const connection = createStore({ offline: false, answeredAt: null });

const remembered = new Map();
const labels = new WeakMap();

/**
 * What was said with the answers to all that `signal` was given to. `stale`: `{ageS, source}` of the oldest that is not of
 * now, or null; `lagS`: how far behind the replica is that they may be of, or null.
 */
export const labelOf = (signal) => labels.get(signal) || { stale: null, lagS: null };

function noteLabel(signal, { headers }, source) {
  const { stale, lagS } = labelOf(signal);
  const ageS = Number(headers.get("age")) || 0;
  const behind = /^replica; lag_s=([\d.]+)/.exec(headers.get("x-read-models"));
  labels.set(signal, {
    stale: headers.has("x-stale") && !(ageS <= stale?.ageS) ? { ageS, source } : stale,
    lagS: behind ? Math.max(lagS, behind[1]) : lagS,
  });
}

/** An answer that is no success, or none at all (status 0). `document` is the problem document (RFC 9457). */
export class Problem extends Error {
  constructor(status, document, retryAfterS = null) {
    super(document.detail || document.title || `status ${status}`);
    this.status = status;
    this.document = document;
    this.retryAfterS = retryAfterS;
    /** Whether the page asks again by itself. */
    this.isAskedAgain = false;
  }

  /** Whether the same question may have another answer in a moment. */
  get mayPass() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  get name() {
    return (this.document.type || "").replace("/problems/", "");
  }
}

export const tabKey = {
  get: () => sessionStorage.getItem(KEY),
  set: (key) => sessionStorage.setItem(KEY, key),
  forget: () => sessionStorage.removeItem(KEY),
};

export function headersOf(extra) {
  const key = tabKey.get();
  return { Accept: "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}), ...extra };
}

async function answered(path, options, signal) {
  const limits = [AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])];
  try {
    const answer = await fetch(path, { ...options, signal: AbortSignal.any(limits) });
    connection.set({ offline: false, answeredAt: Date.now() });
    return answer;
  } catch (error) {
    throw silence(error, signal);
  }
}

/** What is to be raised where nothing, or not all of it, was answered; an end that was asked for stays as it is. */
export function silence(error, signal) {
  if (signal?.aborted) return error;
  connection.set({ offline: true });
  const late = error.name === "TimeoutError";
  return new Problem(0, {
    title: "The server does not answer",
    detail: late ? `no answer within ${TIMEOUT_MS / 1000} s` : "the connection failed",
  });
}

/** An answer that began and did not come to its end. */
const brokenOff = (signal) => (error) => Promise.reject(silence(error, signal));

const isJson = (answer) => (answer.headers.get("content-type") || "").includes("json");

export async function problemOf(answer) {
  let document = { title: answer.statusText || `Status ${answer.status}`, detail: "" };
  // What stands between us and the server may refuse in a form of its own, or break off: the status says enough.
  if (isJson(answer)) document = { ...document, ...(await answer.json().catch(() => null)) };
  return new Problem(answer.status, document, Number(answer.headers.get("retry-after")) || null);
}

/**
 * The document at `path`. Raises Problem. What has not changed since is not sent again; `anew` is for one whose tag stays the
 * same while its age grows.
 */
export async function get(path, { signal, anew = false } = {}) {
  const known = anew ? undefined : remembered.get(path);
  const options = { headers: headersOf(known ? { "If-None-Match": known.etag } : {}), cache: "no-store" };
  const answer = await answered(path, options, signal);
  const unchanged = answer.status === 304 && known;
  if (!answer.ok && !unchanged) throw await problemOf(answer);
  const body = unchanged ? known.body : await answer.json().catch(brokenOff(signal));
  if (signal) noteLabel(signal, answer, body?.source);
  if (unchanged) return body;
  const etag = answer.headers.get("etag");
  if (etag && !anew) {
    remembered.delete(path);
    remembered.set(path, { etag, body });
    if (remembered.size > MOST_REMEMBERED) remembered.delete(remembered.keys().next().value);
  }
  return body;
}

/** Every item of a list, following its cursor; of more than `most` the first, and `cut` says so. */
export async function getAll(path, { most = 10_000, ...options } = {}) {
  const items = [];
  let cursor = null;
  do {
    const mark = path.includes("?") ? "&" : "?";
    const page = await get(cursor ? `${path}${mark}cursor=${encodeURIComponent(cursor)}` : path, options);
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor && items.length < most);
  items.cut = Boolean(cursor);
  return items;
}

/** A command. Raises Problem. The answer's document, or null where there is none. */
export async function send(method, path, body) {
  const json = method === "DELETE" ? {} : { "Content-Type": "application/json" };
  const options = { method, headers: headersOf(json), body: body === undefined ? undefined : JSON.stringify(body) };
  const answer = await answered(path, options);
  if (!answer.ok) throw await problemOf(answer);
  return isJson(answer) ? answer.json().catch(brokenOff()) : null;
}

/** Has the browser save a file. */
export function saved(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A file that the browser saves under the name the server gives it. */
export async function download(path, otherwiseNamed, accept = "*/*") {
  const answer = await answered(path, { headers: headersOf({ Accept: accept }) });
  if (!answer.ok) throw await problemOf(answer);
  const named = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") || "");
  saved(await answer.blob().catch(brokenOff()), named ? named[1] : otherwiseNamed);
}

export function forgetAnswers() {
  remembered.clear();
}
