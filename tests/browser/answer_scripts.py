"""JavaScript that replaces the server for parts of the page: answers, refusals and missing answers set by the test."""

SERVER = """
window.answers = {};
window.asked = [];
window.fetch = async (path, options) => {
  window.asked.push(path);
  const nothing = [404, { title: "Not found", detail: "" }];
  const answer = window.answers[path] ?? window.answers[path.split("?")[0]] ?? nothing;
  const [status, body, headers] = await (typeof answer === "function" ? answer(path, options) : answer);
  const json = { "Content-Type": "application/json", ...headers };
  const written = Array.isArray(body) ? body.map((line) => `${JSON.stringify(line)}\n`).join("") : JSON.stringify(body);
  return new Response(status === 304 ? null : written, { status, headers: json });
};
window.main = document.body.appendChild(document.createElement("main"));
"""
"""`answers[path]` is `[status, body, headers]` or a function that returns them; `asked` has the requested paths. A body
that is an array is sent as lines."""


def served(script: str) -> str:
    """`script` in an async function, with that server before it."""
    return f"(async () => {{ {SERVER} {script} }})()"


AUDIT = served("""
  const { html, render } = await import("/static/dom.js");
  const { session } = await import("/static/session.js");
  const { route } = await import("/static/router.js");
  const { useStore } = await import("/static/store.js");
  const { AuditView } = await import("/static/views/audit.js");
  const step = (position, topic) => ({
    position, topic, what: topic, why: null, who: "operator:1", recorded_at: `2026-07-14T21:00:0${position}Z`,
    domain_event_id: `event-${position}`, facility_id: null, caused_by: { kind: "command", causation_id: "c" },
  });
  const row = (status) => ({
    status, facility_ids: ["fac-001"], opened_at: "2026-07-14T21:00:01Z", target_kw: 1, delivered_kw: null,
    unmeasured_facilities: [],
  });
  const at = "/api/dr-events/1";
  window.stands = (position, status) => {
    const asOf = position === null ? "" : `as_of=${position}`;
    answers[`${at}${asOf && `?${asOf}`}`] = [200, row(status)];
    answers[`${at}/dispatches?limit=500${asOf && `&${asOf}`}`] = [200, { items: [], next_cursor: null }];
  };
  window.refused = (position) => (answers[`${at}?as_of=${position}`] = [503, { title: "A store is away", detail: "" }]);
  answers["/api/audit/dr-events/1"] = [200, {
    dr_event_id: "1", utility_id: "util-1", utility_event_id: "UTIL-1", dr_event: { status: "completed", notice: null },
    steps: [step(1, "dr-event.opened.v1"), step(2, "dr-event.accepted.v1"), step(3, "dr-event.scheduled.v1")],
  }];
  session.set({ phase: "signed-in", role: "auditor" });
  const View = () => html`<${AuditView} id="1" options=${useStore(route).options} />`;
  window.show = (address) => (location.hash = address, render(html`<${View} />`, main));
""")
"""`stands(position, status)` and `refused(position)` set answers about a DR event of three steps; `show(address)`."""

FACILITY = served("""
  const { html, render } = await import("/static/dom.js");
  const { session } = await import("/static/session.js");
  const { FacilityView } = await import("/static/views/facility.js");
  window.again = (await import("/static/query.js")).refetch;
  const at = "/api/facilities/fac-001";
  answers[at] = [200, {
    facility_id: "fac-001", status: "active", status_reason: null, latest_dispatch: null, opted_out: false,
    reservations: [], programs: [], meters: [], limits: null, weather_cell: "north", latitude: 1, longitude: 2,
    tz: "UTC",
    zones: [{ zone_id: "zone-1", strategy: "setpoint_offset", max_magnitude: 2, curtailable_kw: 5 }], curtailable_kw: 5,
    dr_events_served: 0, registered_at: "2026-07-14T21:00:00Z", bms_address: null, bms_profile: "plain",
  }];
  let ageS = 5;
  answers[`${at}/current`] = (path, { headers }) => headers["If-None-Match"] ? [304] : [
    200,
    { facility_id: "fac-001", kw: 7, measured_at: "2026-07-14T21:00:00Z", age_s: ageS++, stale: false },
    { ETag: 'W/"1"' },
  ];
  answers["/api/dr-events"] = [200, { items: [] }];
  session.set({ phase: "signed-in", role: "operator" });
  render(html`<${FacilityView} id="fac-001" />`, main);
""")
"""A facility whose meter repeats its value, each time a second older; `again(path)` requests a path again."""

CLOCK = """(async () => {
  const { noteServerTime, serverNow } = await import("/static/server_clock.js");
  let wall = 0;
  Date.now = () => wall;
  window.noted = (atWallS, serverS) => {
    wall = atWallS * 1000;
    noteServerTime(new Date(serverS * 1000).toISOString());
  };
  window.then = (atWallS) => (wall = atWallS * 1000, serverNow() / 1000);
})()"""
"""`noted(wall, server)`: the server's time, received at that second here. `then(wall)`: its estimated time then."""

LIVE = served("""
  const later = setTimeout;
  window.setTimeout = (work, ms, ...more) => later(work, ms / 10, ...more);
  window.streams = [];
  window.EventSource = class extends EventTarget {
    static CLOSED = 2;
    readyState = 1;
    constructor(address) {
      super();
      this.address = address;
      streams.push(this);
    }
    close() {
      this.readyState = 2;
    }
  };
  window.said = (name, data = {}, lastEventId = "") =>
    streams.at(-1).dispatchEvent(new MessageEvent(name, { data: JSON.stringify(data), lastEventId }));
  const { html, render } = await import("/static/dom.js");
  const { session } = await import("/static/session.js");
  const { useQuery } = await import("/static/query.js");
  const { Loaded } = await import("/static/components/parts.js");
  const { Banners } = await import("/static/components/banners.js");
  const { startLive } = await import("/static/live.js");
  answers["/api/rows"] = [200, { told: "one" }];
  function View({ path }) {
    const query = useQuery(path, { topics: ["dr-event"] });
    return html`<${Loaded} query=${query}>${({ told }) => html`<p>${told}</p>`}</${Loaded}>`;
  }
  startLive();
  session.set({ phase: "signed-in" });
  window.show = (...paths) =>
    (render(html`<${Banners} />${paths.map((path) => html`<${View} key=${path} path=${path} />`)}`, main), 0);
  show("/api/rows");
  window.many = (wanted = "/api/rows") => asked.filter((path) => path === wanted).length;
""")
"""One query, and a stream that receives `said(name, data)`; `many()` counts the requests of the query.
`show(path, ...)` shows those paths instead. Time-outs are ten times as short."""

SENDING = """(async () => {
  const { html, render } = await import("/static/dom.js");
  const { ConfirmDialog } = await import("/static/components/dialog.js");
  const { Toasts } = await import("/static/components/toasts.js");
  const main = document.body.appendChild(document.createElement("main"));
  const perform = () => new Promise((_, refuse) => (window.fails = (why) => refuse(new Error(why))));
  window.show = (isAsked) => render(html`<${Toasts} />${isAsked && html`<${ConfirmDialog} title="Cancel?"
    confirm="Cancel it" reason=${null} perform=${perform} close=${() => show(false)} />`}`, main);
  show(true);
})()"""
"""A dialog whose command is pending until `fails(why)`; `show(false)` removes it with its view."""

WHOLE = served("""
  const app = document.body.appendChild(document.createElement("div"));
  app.id = "app";
  location.hash = "#/dr-events/100%";
  answers["/api/session"] = [503, { type: "/problems/unavailable", title: "A store is away" }];
  await import("/static/app.js");
""")
"""The page at an address that cannot be decoded, while the session cannot be read."""

PORTFOLIO = served("""
  await new Promise((loaded) => {
    const script = document.createElement("script");
    script.src = "/static/vendor/uPlot.iife.min.js";
    script.onload = loaded;
    document.body.append(script);
  });
  const { html, render } = await import("/static/dom.js");
  const { session } = await import("/static/session.js");
  const { PortfolioView } = await import("/static/views/portfolio.js");
  window.again = (await import("/static/query.js")).refetch;
  const quarter = (n) => new Date(Date.parse("2026-07-14T21:00:00Z") + n * 900_000).toISOString();
  window.part = (kw, next_cursor, first = 0) => [200, {
    facilities: 500, step_s: 900, next_cursor,
    steps: [first, first + 1].map((n) => ({ starts_at: quarter(n), kw, missing: 0 })),
  }];
  window.foreseen = [200, {
    as_of: quarter(2), counts_as: { full: 2 }, without_forecast: 0,
    steps: [2, 3].map((n) => ({ starts_at: quarter(n), ends_at: quarter(n + 1), kw: { p10: 6, p50: 7, p90: 8 } })),
  }];
  session.set({ phase: "signed-in", role: "dashboard" });
  window.show = () => (render(html`<${PortfolioView} />`, main), 0);
""")
"""A portfolio whose load comes in parts: `part(kw, cursor, first)`; `foreseen` is a forecast. `show()` draws it."""

PRICED = served("""
  const { html, render } = await import("/static/dom.js");
  const { session } = await import("/static/session.js");
  const { DREventBody } = await import("/static/views/dr_event_parts.js");
  const none = { reasons: [], refused_modification: [], targets: [], failed_facilities: [], opted_out_facilities: [],
    preempted_facilities: [], unmeasured_facilities: [], callbacks: {}, facility_ids: ["fac-001"] };
  const row = { ...none, dr_event_id: "1", status: "accepted", settlement_status: "none", program_id: "summer-peak",
    opened_at: "2026-07-14T20:00:00Z", starts_at: "2026-07-14T21:00:00Z", ends_at: "2026-07-14T23:00:00Z", target_kw: 1,
    trace_id: "0af7651916cd43dd8448eb211c80319c" };
  answers["/api/dr-events/1/dispatches"] = [200, { items: [], next_cursor: null }];
  session.set({ phase: "signed-in", role: "dashboard" });
  window.show = (given) => {
    answers["/api/dr-events/1"] = [200, { ...row, ...given }];
    render(html`<${DREventBody} key=${JSON.stringify(given)} id="1" asOf=${given.asOf} />`, main);
    return 0;
  };
""")
"""`show(given)` draws a DR event with those fields of its document; another `asOf` reads it again."""
