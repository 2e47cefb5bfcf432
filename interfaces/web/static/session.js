// Who has signed in: by a short-lived cookie that no script sees.
import { Problem, forgetAnswers, get, send, tabKey } from "./api.js";
import { createStore } from "./store.js";

/**
 * `phase`: unknown, signed-out, signed-in. `role` is null where the server does not say it. `problem`: why it could not be
 * asked of last; it is asked again.
 */
export const session = createStore({ phase: "unknown", role: null, facilityId: null, utilityId: null, expiresAt: null, why: null, problem: null });

const WITHOUT_SESSIONS = new Set([404, 405, 501]);
const READERS = ["dashboard", "operator", "auditor", "admin"];
/** Not even of their roles for a key of one facility. */
const OF_ALL_FACILITIES = new Set(["portfolio", "drEvents", "alerts", "statements"]);
const MAY = {
  portfolio: READERS,
  facility: [...READERS, "owner"],
  drEvents: [...READERS, "utility"],
  operate: ["operator", "admin"],
  administer: ["admin"],
  optOut: ["operator", "admin", "owner"],
  audit: ["auditor", "admin"],
  changes: ["auditor", "operator", "admin", "owner"],
  alerts: ["operator", "admin", "dashboard"],
  operations: ["operator", "admin"],
  ledger: ["auditor", "operator", "admin"],
  statements: ["dashboard", "operator", "auditor", "admin", "utility"],
  whatIf: ["operator", "auditor", "admin", "utility"],
};

/** Whether the person may do that; the server decides in the end. */
export function may(what, { role, facilityId } = session.get()) {
  if (facilityId && OF_ALL_FACILITIES.has(what)) return false;
  return role === null || MAY[what].includes(role);
}

/** Where a person begins: `[view, id]`. A key of one facility sees that one, a utility its DR events. */
export function homeOf({ facilityId } = session.get()) {
  if (facilityId) return ["facilities", facilityId];
  return [may("portfolio") ? "portfolio" : "dr-events", null];
}

function enter(document) {
  session.set({
    phase: "signed-in",
    role: document.role ?? null,
    facilityId: document.facility_id ?? null,
    utilityId: document.utility_id ?? null,
    expiresAt: document.expires_at ?? null,
    why: null,
    problem: null,
  });
}

export function leave(why = null) {
  tabKey.forget();
  forgetAnswers();
  session.set({ phase: "signed-out", role: null, facilityId: null, utilityId: null, expiresAt: null, why, problem: null });
}

/** At the start of the page, and when the stream was refused: is the session still good? */
export async function resume() {
  try {
    enter(await get("/api/session"));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (WITHOUT_SESSIONS.has(error.status) && tabKey.get()) enter({});
    else if (error.status === 0 || error.status >= 500) {
      error.isAskedAgain = true;
      session.set({ problem: error });
      setTimeout(resume, 3000);
    } else leave(session.get().phase === "signed-in" ? "The session has ended; sign in again." : null);
  }
}

/** Raises Problem for a key that is not taken. */
export async function signIn(key) {
  tabKey.set(key);
  try {
    enter(await send("POST", "/api/session"));
    tabKey.forget();
  } catch (error) {
    if (!WITHOUT_SESSIONS.has(error.status)) {
      tabKey.forget();
      throw error;
    }
    await signInWithoutSession();
  }
}

/** A server without sessions: the key stays in this tab. */
async function signInWithoutSession() {
  try {
    await get("/api/portfolio");
    enter({});
  } catch (error) {
    tabKey.forget();
    throw error;
  }
}

export async function signOut() {
  try {
    await send("DELETE", "/api/session");
  } catch (error) {
    if (!WITHOUT_SESSIONS.has(error.status) && error.status !== 401) throw error;
  }
  leave();
}
