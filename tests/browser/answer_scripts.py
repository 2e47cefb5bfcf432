"""JavaScript that gives parts of the page answers of a server that a test makes up, refusals and silence too."""

SERVER = """
window.answers = {};
window.asked = [];
window.fetch = async (path) => {
  window.asked.push(path);
  const nothing = [404, { title: "Not found", detail: "" }];
  const answer = window.answers[path] ?? window.answers[path.split("?")[0]] ?? nothing;
  const [status, body, headers] = await (typeof answer === "function" ? answer(path) : answer);
  const json = { "Content-Type": "application/json", ...headers };
  return new Response(status === 304 ? null : JSON.stringify(body), { status, headers: json });
};
window.main = document.body.appendChild(document.createElement("main"));
"""
"""`answers[path]` is `[status, body, headers]` or a function that gives them; `asked` is what was asked for."""


def served(script: str) -> str:
    """`script`, with such a server before it; what it awaits is waited for."""
    return f"(async () => {{ {SERVER} {script} }})()"


AUDIT = served("""
  const { html, render } = await import("/static/dom.js");
  const { session } = await import("/static/session.js");
  const { route } = await import("/static/router.js");
  const { useStore } = await import("/static/store.js");
  const { AuditView } = await import("/static/views/audit.js");
  const step = (position, topic) => ({
    position, topic, what: topic, why: null, who: "operator:1", recorded_at: `2026-07-14T21:00:0${position}Z`,
    facility_id: null, caused_by: { kind: "command", causation_id: "c" },
  });
  const row = (status) => ({
    status, facility_ids: ["fac-001"], opened_at: "2026-07-14T21:00:01Z", target_kw: 1, delivered_kw: null,
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
"""`stands(position, status)`, `refused(position)`: what is answered of a DR event of three steps; `show(address)`."""
