"""JavaScript that tests run in the page."""

KEYBOARD = """(() => {
  const focusable = "a[href], button, input, select, textarea, summary, [tabindex='0']";
  const seen = new Set();
  window.unseen = [];
  addEventListener("focusin", ({ target }) => {
    seen.add(target);
    const { outlineStyle, outlineWidth } = getComputedStyle(target);
    const isSeen = target.tabIndex < 0 || (outlineStyle !== "none" && outlineWidth !== "0px");
    if (!isSeen) window.unseen.push(target.outerHTML.slice(0, 120));
  });
  window.unreached = () => [...document.querySelectorAll(focusable)]
    .filter(one => one.checkVisibility({ visibilityProperty: true }) && !one.disabled && !seen.has(one))
    .map(one => one.outerHTML.slice(0, 120));
})()"""
"""Records the focus: `unreached()` are the elements that it never reached, `unseen` those that did not show it."""

HALF_MINUTES = """{
  const start = setInterval;
  window.setInterval = (work, ms, ...more) => start(work, ms === 30000 ? 500 : ms, ...more);
}"""
"""Half minutes pass in half a second."""

TEN_THOUSAND = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { Table } = await import("/static/components/table.js");
  const rows = Array.from({ length: 10000 }, (_, n) => ({ id: `row ${n}` }));
  const columns = [{ id: "id", label: "Row", header: true, sort: (row) => row.id, cell: (row) => row.id }];
  const main = document.body.appendChild(document.createElement("main"));
  const id = (row) => row.id;
  render(html`<${Table} caption="Rows" columns=${columns} rows=${rows} rowKey=${id} text=${id} />`, main);
})()"""
"""A table of ten thousand rows."""

TILES = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { FacilityTiles } = await import("/static/components/facility_tiles.js");
  const tones = [...Array(45).fill("ok"), ...Array(650).fill("busy"), ...Array(5).fill("bad")];
  const rows = tones.map((tone, n) => ({ facility_id: `fac-${n}`, weather_cell: "north", longitude: 0, tone }));
  const main = document.body.appendChild(document.createElement("main"));
  const looks = ({ tone }) => ({ tone, shape: "dot", words: tone });
  render(html`<${FacilityTiles} rows=${rows} looksOf=${looks} powerOf=${() => null} />`, main);
})()"""
"""Tiles of 700 facilities: the last five are in the worst state, and 45 are in order."""

STEPS = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { Timeline } = await import("/static/views/audit_timeline.js");
  const steps = Array.from({ length: 90 }, (_, n) => ({
    position: n + 1, recorded_at: "2026-07-14T21:00:00Z", who: "operator:1", why: null,
    what: `step ${n}, at 2026-07-14 20:45:00Z`, topic: "dr-event.accepted.v1",
    facility_id: null, caused_by: { kind: "command", causation_id: "c" },
  }));
  const main = document.body.appendChild(document.createElement("main"));
  render(html`<${Timeline} id="1" steps=${steps} place=${89} selected=${null} goTo=${() => {}} />`, main);
})()"""
"""A timeline of 90 steps, of which the newest 40 are shown."""

STOPPED = """(async () => {
  const { reasonsOf, tracksOf } = await import("/static/views/dispatch_rows.js");
  const { missingKw } = await import("/static/views/dr_event_parts.js");
  const parts = [
    { facility_id: "a", status: "blocked", what_went_wrong: "blocked: its forecast is degraded_no_weather" },
    { facility_id: "b", status: "aborted", left: "opted_out", what_went_wrong: "opted out: boiler" },
    { facility_id: "c", status: "failed", failure: "refused", what_went_wrong: "refused" },
    { facility_id: "d", status: "aborted", left: "cancelled", what_went_wrong: "cancelled: rain" },
  ];
  const targets = parts.map(({ facility_id }) => ({ facility_id, target_kw: 10 }));
  return {
    first: parts.map((part) => tracksOf(part)[0].state),
    reasons: parts.map((part) => reasonsOf(part)[0]),
    missing: missingKw({ missing_kw: 5, targets }, parts),
  };
})()"""
"""How facilities that went no further are shown, and what is missing of the plan with them."""

NOT_READY = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { DREventTable } = await import("/static/components/dr_event_table.js");
  const row = (id) => ({
    dr_event_id: id, utility_event_id: id, utility_id: "west", status: "active", facility_ids: ["a", "b", "c"],
    starts_at: "2026-07-14T21:00:00Z", ends_at: "2026-07-14T23:00:00Z", target_kw: 20, delivered_kw: null,
    reasons: [], outcome: null, cancellation_reason: null,
  });
  const readiness = {
    blocked: { blocked: 2, at_risk: 1, dropped_out: 0 },
    lost: { blocked: 0, at_risk: 0, dropped_out: 3 },
    risky: { blocked: 0, at_risk: 1, dropped_out: 0 },
  };
  const main = document.body.appendChild(document.createElement("main"));
  render(html`<${DREventTable} rows=${["blocked", "lost", "risky", "ready"].map(row)} readiness=${readiness} />`, main);
})()"""
"""DR events of three facilities each, of which some do not serve or may not."""

NOT_MEASURABLE = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { DREventTable } = await import("/static/components/dr_event_table.js");
  const { DREventFigures, Progress } = await import("/static/views/dr_event_progress.js");
  const row = (id, changes) => ({
    dr_event_id: id, utility_event_id: id, utility_id: "west", status: "completed", facility_ids: ["a", "b", "c"],
    starts_at: "2026-07-14T21:00:00Z", ends_at: "2026-07-14T23:00:00Z", target_kw: 20, capacity_kw: 30,
    measured_at: "2026-07-14T23:03:00Z", reasons: [], outcome: "full", cancellation_reason: null, ...changes,
  });
  const rows = [
    row("none", { settlement_status: "not_measurable", delivered_kw: null, unmeasured_facilities: ["a", "b", "c"] }),
    row("some", { settlement_status: "measured", delivered_kw: 12, unmeasured_facilities: ["c"] }),
    row("zero", { settlement_status: "measured", delivered_kw: 0, unmeasured_facilities: [] }),
  ];
  const main = document.body.appendChild(document.createElement("main"));
  const figures = rows.map((one) => html`<section id=${one.dr_event_id}><${Progress} row=${one} />
    <${DREventFigures} row=${one} parts=${[]} /></section>`);
  render(html`<${DREventTable} rows=${rows} />${figures}`, main);
})()"""
"""DR events of which nothing, a part, and all could be measured."""

GAPS = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { MissingReadings } = await import("/static/views/facility_gaps.js");
  const hours = ["19", "20", "21"].map((hour, n) => ({
    starts_at: `2026-07-14T${hour}:00:00Z`, readings: n && 470, missing: n === 1 ? 12 : n ? 0 : 480,
    missing_seqs: n === 1 ? 2 : 0, unusable: 0, restarts: 0, meters_short: n === 2 ? 0 : 2,
  }));
  const short = (missing, missing_seqs) => [{ ...hours[1], readings: 230, missing, missing_seqs }];
  const meters = [
    { meter_id: "main", newest_at: "2026-07-14T21:59:45Z", short_hours: short(2, 2) },
    { meter_id: "sub", newest_at: "2026-07-14T21:59:45Z", short_hours: short(10, 0) },
  ];
  const main = document.body.appendChild(document.createElement("main"));
  window.draw = (found) => render(html`<${MissingReadings} found=${found} />`, main);
  window.draw({ hours, meters, unlisted_meters: ["stray"] });
  const complete = { ...meters[0], short_hours: [] };
  window.whole = () => window.draw({ hours: [hours[2]], meters: [complete], unlisted_meters: [] });
  window.nothing = () => window.draw({ hours: [hours[0]], meters: [], unlisted_meters: [] });
})()"""
"""The missing readings of a facility: one short hour after one without any reading; `whole()`, `nothing()`."""

LATE = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { later } = await import("/static/views/later.js");
  const main = document.body.appendChild(document.createElement("main"));
  let arrive;
  const file = new Promise((done) => (arrive = done));
  const View = later("Late", () => file);
  render(html`<${View} key="first" />`, main);
  await new Promise((drawn) => setTimeout(drawn, 100));
  render(html`<${View} key="second" />`, main);
  arrive(() => html`<p>Here it is.</p>`);
})()"""
"""A view that is opened again just before its files arrive."""

ABOUT = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { About } = await import("/static/components/about.js");
  const linked = (name, subject) => {
    const main = document.createElement("main");
    render(html`<${About} alert=${{ name, subject }} />`, main);
    return main.querySelector("a")?.getAttribute("href") ?? null;
  };
  return [
    linked("bms_slow", "all"), linked("bms_breaker_open", "fac-001"), linked("restore_failing", "fac-001/zone-1"),
    linked("batch_below_80_percent", "42"), linked("projection_lag", "dr_events"),
  ];
})()"""
"""The links of some alerts."""

QUESTION = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { Dialog } = await import("/static/components/dialog.js");
  const main = document.body.appendChild(document.createElement("main"));
  const ask = (title, press) => html`<h1 tabindex="-1">Head</h1><div style=${{ height: "5000px" }}></div>
    ${press && html`<button id="below">Below</button>`}
    ${title && html`<${Dialog} title=${title} close=${() => {}}><button>Yes</button></${Dialog}>`}`;
  window.ask = (title, press) => render(ask(title, press), main);
  window.ask(null, true);
})()"""
"""`ask(title, press)` shows a dialog (or none) over a long view, with a button far below (or without)."""

ANSWERS = """(async () => {
  const json = { "Content-Type": "application/json" };
  const answers = {
    "/api/portfolio": () => new Response("{}", { headers: { ...json, "X-Stale": "true", Age: "90" } }),
    "/api/alerts": () => new Response("{}", { headers: { ...json, "X-Stale": "true", Age: "120" } }),
    "/api/broken": () => new Response("<html>", { status: 503, statusText: "Away", headers: json }),
    "/api/nothing": () => new Response("null", { status: 502, headers: json }),
    "/api/facilities": () => new Response("{}", { headers: json }),
  };
  window.fetch = async (path) => answers[path]();
  const { get, labelOf } = await import("/static/api.js");
  const { signal } = new AbortController();
  window.asked = (path) => get(path, { signal }).then(
    () => labelOf(signal).stale?.ageS ?? null,
    (problem) => [problem.constructor.name, problem.status, problem.document.title],
  );
})()"""
"""`asked(path)`: the age of the oldest data requested together with that path, or the problem."""

MEASUREMENTS = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { Measured } = await import("/static/views/dr_event_measurement.js");
  const origin = { topic: "dispatch.measured.v2", position: 7, recorded_at: "2026-07-14T21:00:00Z" };
  const revisions = [{ revision: 1, delivered_kw: 9.5, reason: "", corrected_at: null, origin }];
  const ordinary = {
    baseline_method: "caiso-10-in-10", parameters: { x: 10, y: 10, pick: "recent", adjustment: "multiplicative" },
    tz: "America/Los_Angeles", starts_at: "2026-07-14T18:30:00Z", ends_at: "2026-07-14T18:45:00Z", skipped: [],
    days: [{ day: "2026-07-13", use: "used", mean_kw: 110, window_kw: [110], adjustment_kw: [98] }],
    adjustment: { kind: "multiplicative", value: 1.2, raw: 1.3, clipped: true, starts_at: "2026-07-14T14:30:00Z",
      ends_at: "2026-07-14T14:45:00Z", baseline_kw: 98, metered_kw: 127.4, values_kw: [127.4], missing: [], note: "" },
    intervals: [{ starts_at: "2026-07-14T18:30:00Z", baseline_kw: 110, adjusted_kw: 112, metered_kw: 102.5,
      delivered_kw: 9.5 }],
    coverage_pct: 100, delivered_kw: 9.5, clip_delivery: false, holidays: [], holidays_of: "none", dr_event_days: [],
    data_hash: "0".repeat(64), regression: null, uncertainty: null, expected_error: null,
  };
  const regression = {
    ...ordinary, baseline_method: "regression", parameters: { lookback_days: 70 }, days: [],
    skipped: [{ day: "2026-07-13", why: "dr_event_day" }],
    adjustment: { ...ordinary.adjustment, kind: "none", value: null },
    holidays: ["2026-07-03"], holidays_of: "US-CA",
    uncertainty: { kw_80: 5.04, kw_90: 6.5, share_80: 0.53, share_90: 0.68, observations: 1680,
      effective_observations: 140, autocorrelation: 0.85 },
    regression: {
      hours: [{ hour_of_week: 35, occupied: true, kw: 140.4 }], change_points_c: [20.5], occupied_kw_per_k: [1, 10.25],
      unoccupied_kw_per_k: 2, covariance: [], residual_kw: 7.3, autocorrelation: 0.85,
      training_starts_at: "2026-05-05T07:00:00Z",
      training_ends_at: "2026-07-14T07:00:00Z", training_hours: 1680, degrees_of_freedom: 1505, temperatures_c: [24.5],
    },
  };
  const shown = { ordinary: { figures: ordinary }, regression: { figures: regression }, nothing: { figures: null } };
  for (const [id, found] of Object.entries(shown)) {
    const main = document.body.appendChild(document.createElement("main"));
    main.id = id;
    const withdrawn = [{ ...revisions[0], delivered_kw: null, reason: "nothing was metered" }];
    const answer = { numbers: [], revisions: found.figures ? revisions : withdrawn, ...found };
    render(html`<${Measured} id="1" found=${answer} />`, main);
  }
})()"""
"""A measurement by days, one by regression, and one that was withdrawn."""
