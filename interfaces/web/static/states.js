// Every state that is shown: its tone, its shape and its words. Shape and words say it without the colour.
const of = (tone, shape, words) => ({ tone, shape, words });

const DR_EVENT = {
  opened: of("idle", "ring", "opened"),
  rejected: of("bad", "cross", "rejected"),
  accepted: of("busy", "ring", "accepted"),
  scheduled: of("busy", "ring", "scheduled"),
  preparing: of("busy", "half", "preparing"),
  active: of("ok", "play", "active"),
  recovering: of("busy", "half", "recovering"),
  completed: of("ok", "check", "completed"),
  cancelled: of("idle", "cross", "cancelled"),
  cancelled_while_active: of("warn", "cross", "cancelled while active"),
};

const DISPATCH = {
  planned: of("idle", "ring", "planned"),
  blocked: of("warn", "triangle", "blocked"),
  preparing: of("busy", "half", "preparing"),
  prepared: of("busy", "dot", "prepared"),
  committing: of("busy", "half", "committing"),
  committed: of("busy", "dot", "committed"),
  verified_by_bms: of("ok", "dot", "verified by BMS"),
  verified_by_meter: of("ok", "play", "verified by meter"),
  restoring: of("busy", "half", "restoring"),
  restored: of("ok", "check", "restored"),
  restore_failed: of("bad", "triangle", "restore failed"),
  compensating: of("warn", "half", "compensating"),
  compensated: of("warn", "check", "compensated"),
  aborting: of("warn", "half", "aborting"),
  aborted: of("idle", "cross", "aborted"),
  failed: of("bad", "cross", "failed"),
};

const FACILITY = {
  active: of("ok", "dot", "ready"),
  maintenance: of("warn", "square", "in maintenance"),
  deactivated: of("idle", "cross", "deactivated"),
  opted_out: of("warn", "cross", "opted out"),
  reserved: of("busy", "ring", "reserved"),
  unmeasured: of("warn", "triangle", "meters silent"),
};

const CALLBACK = {
  requested: of("busy", "half", "on its way"),
  delivered: of("ok", "check", "delivered"),
  undeliverable: of("bad", "cross", "undeliverable"),
};

// It counts facilities, not kW: the share of the target has the tone.
const OUTCOME = {
  full: of("idle", "check", "all served"),
  partial: of("idle", "half", "not all served"),
  failed: of("idle", "cross", "none served"),
};

const QUALITY = {
  full: of("ok", "dot", "full"),
  degraded_stale_weather: of("warn", "half", "stale weather"),
  degraded_no_weather: of("warn", "triangle", "no weather"),
  degraded_stale_data: of("warn", "triangle", "stale data"),
  degraded_no_weather_and_stale_data: of("bad", "triangle", "no weather, stale data"),
  stale: of("bad", "triangle", "stale"),
};

const SEVERITY = {
  warning: of("warn", "triangle", "warning"),
  critical: of("bad", "square", "critical"),
  page: of("bad", "cross", "page"),
};

const BMS = {
  no_trouble_known: of("ok", "dot", "no trouble known"),
  suspended: of("bad", "square", "calls suspended"),
  failing: of("bad", "triangle", "failing"),
  drifting: of("warn", "triangle", "drifting"),
};

const ZONE = {
  free: of("idle", "ring", "as usual"),
  curtailed: of("busy", "dot", "curtailed"),
  drifted: of("warn", "triangle", "drifted"),
  unknown: of("idle", "half", "not known now"),
};

const VOCABULARY = { bms: BMS, zone: ZONE, "dr-event": DR_EVENT, dispatch: DISPATCH, facility: FACILITY, callback: CALLBACK, outcome: OUTCOME, quality: QUALITY, severity: SEVERITY };

/** The tone of what was delivered of a target, 1 for all of it; none where it is not known. */
export function deliveryLooks(share) {
  if (share === null) return {};
  return share < 0.5 ? { tone: "bad", shape: "cross" } : share < 0.9 ? { tone: "warn", shape: "triangle" } : { tone: "ok", shape: "check" };
}

/** What `state` of a `kind` looks like; one not known yet is shown by its name. */
export function looks(kind, state) {
  return VOCABULARY[kind]?.[state] || of("idle", "ring", String(state).replaceAll("_", " "));
}

/** DR events that it has served; those for which it is reserved are counted with them until they are over. */
export const servedOf = (row) => Math.max(0, row.dr_events_served - row.reservations.length);

const ON_ITS_WAY = new Set(["restored", "compensated", "aborted", "failed"]);

/** How a facility is, in one word: its dispatch under way, else what keeps it, else ready. */
export function facilityState(row, current = null) {
  if (row.status !== "active") return looks("facility", row.status);
  const latest = row.latest_dispatch;
  if (latest && !ON_ITS_WAY.has(latest.status)) return looks("dispatch", latest.status);
  if (row.opted_out) return looks("facility", "opted_out");
  if (current?.stale) return looks("facility", "unmeasured");
  return looks("facility", row.reservations.length ? "reserved" : "active");
}
