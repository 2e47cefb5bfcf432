// What tells the page that something has changed: the server's stream; without it, a poll every 30 s.
import { Problem, connection, get } from "./api.js";
import { noteServerTime } from "./server_clock.js";
import { resume, session } from "./session.js";
import { createStore } from "./store.js";

export const POLL_MS = 30_000;
const COLLECT_MS = 300;
const REOPEN_MS = 5_000;
const RETRY_OFFLINE_MS = 3_000;
const SILENT_MS = 40_000; // the server says something every 15 s
const OF_THE_LOG = ["dr-event", "dispatch", "facility", "program"];

/**
 * `streaming`: the stream is open. `staleS`, `staleReason`: the read models are that far behind. `readingsAt`:
 * when readings were last measured, or stored, as far as the page has heard.
 */
export const live = createStore({ readingsAt: null });
/** Without the stream answers alone say how old they are. */
const unheard = () => live.set({ streaming: false, staleS: null, staleReason: null });
unheard();

const listeners = new Set();
let source = null;
let lastEventId = null;
let heardAt = 0;
let pending = new Set();
let collecting = null;
let reopening = null;
let polling = null;

/** `listener(topics)` with the names of what changed ("everything" among them), or null: nobody tells, and anything may have. */
export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(topics) {
  for (const listener of [...listeners]) listener(topics);
}

function changed(topic) {
  pending.add(topic);
  collecting ??= setTimeout(() => {
    const topics = pending;
    pending = new Set();
    collecting = null;
    tell(topics);
  }, COLLECT_MS);
}

function heard(message) {
  heardAt = Date.now();
  if (message.lastEventId) lastEventId = message.lastEventId;
  return JSON.parse(message.data);
}

function open() {
  clearTimeout(reopening);
  source?.close();
  source = new EventSource(lastEventId ? `/api/stream?last_event_id=${lastEventId}` : "/api/stream");
  const opened = source;
  opened.addEventListener("open", () => {
    heardAt = Date.now();
    connection.set({ offline: false });
    live.set({ streaming: true });
    changed("everything");
  });
  for (const topic of OF_THE_LOG) {
    opened.addEventListener(topic, (message) => {
      const { dr_event_id: drEventId } = heard(message);
      changed(topic);
      if (drEventId) changed(`dr-event:${drEventId}`);
    });
  }
  opened.addEventListener("alert", (message) => heard(message) && changed("alert"));
  opened.addEventListener("alive", heard);
  opened.addEventListener("reset", (message) => heard(message) && changed("everything"));
  opened.addEventListener("telemetry", (message) => {
    newestAt(heard(message).stored_at);
    changed("telemetry");
  });
  opened.addEventListener("state", (message) => {
    const state = heard(message);
    // What was read meanwhile is of before, or was refused.
    if (live.get().staleS !== null && !state.stale) changed("everything");
    live.set({ staleS: state.stale ? state.age_s : null, staleReason: state.stale ? state.reason : null });
  });
  opened.onerror = () => {
    unheard();
    probe();
    if (opened.readyState !== EventSource.CLOSED || source !== opened) return;
    reopening = setTimeout(reopen, REOPEN_MS);
  };
}

/** The stream broke: is the server there at all? An outage is said now, not at the next poll. */
function probe() {
  get("/health").catch((error) => {
    if (!(error instanceof Problem)) throw error; // what the server says does not matter, only whether it answers
  });
}

/** The stream was refused for good: is that because the session has ended, or is it not there (yet)? */
async function reopen() {
  await resume();
  if (session.get().phase === "signed-in") open();
}

function poll() {
  if (session.get().phase !== "signed-in" || document.hidden) return;
  if (live.get().streaming && Date.now() - heardAt > SILENT_MS) {
    unheard(); // it broke without a word
    open();
  }
  if (!live.get().streaming) tell(null);
}

/** Meters that have said something newer, as an answer tells it. */
export function noteReadings(measuredAt, ageS) {
  if (!measuredAt) return;
  noteServerTime(new Date(Date.parse(measuredAt) + ageS * 1000).toISOString());
  newestAt(measuredAt);
}

function newestAt(text) {
  const known = live.get().readingsAt;
  if (!known || Date.parse(text) > Date.parse(known)) live.set({ readingsAt: text });
}

function stop() {
  clearTimeout(reopening);
  clearInterval(polling);
  source?.close();
  source = null;
  polling = null;
  lastEventId = null;
  unheard();
}

/** Follows the session: while somebody is signed in, the stream is open or tried. */
export function startLive() {
  session.watch(({ phase }) => {
    if (phase === "signed-in" && !polling) {
      polling = setInterval(poll, POLL_MS);
      open();
    } else if (phase === "signed-out") stop();
  });
  connection.watch(({ offline }) => {
    if (offline) setTimeout(() => connection.get().offline && tell(null), RETRY_OFFLINE_MS);
  });
  addEventListener("online", () => tell(null));
  document.addEventListener("visibilitychange", poll);
}
