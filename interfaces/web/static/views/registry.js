// Every view by its name in the address.
import { html } from "../dom.js";
import { Empty } from "../components/parts.js";
import { NotForRole } from "../components/refused.js";
import { hrefTo } from "../router.js";
import { homeOf, may } from "../session.js";
import { later } from "./later.js";
import { PortfolioView } from "./portfolio.js";

const Missing = () => html`<div class="page"><h1 tabindex="-1">No such view</h1>
  <${Empty} title="The address names no view of this page."><a href=${hrefTo(...homeOf())}>Go to the beginning</a></${Empty}></div>`;

/**
 * `show` gets `id` (null without one) and `options` (URLSearchParams). Its first heading is an `h1` with tabindex -1.
 * `needs(at)`: what the person must be allowed (see session.js) for anything to be seen there.
 */
export const VIEWS = {
  portfolio: { title: "Portfolio", needs: () => "portfolio", show: PortfolioView },
  "dr-events": {
    title: "DR events",
    needs: () => "drEvents",
    show: later("DR events", () => import("./dr_event.js").then(({ DREventView, DREventsView }) => (at) => (at.id ? html`<${DREventView} ...${at} />` : html`<${DREventsView} />`))),
  },
  facilities: {
    title: "Facilities",
    needs: ({ id }) => (id ? "facility" : "portfolio"),
    show: later("Facilities", () => import("./facility.js").then(({ FacilityView, FacilitiesView }) => (at) => (at.id ? html`<${FacilityView} ...${at} />` : html`<${FacilitiesView} />`))),
  },
  audit: { title: "Audit", show: later("Audit", () => import("./audit.js").then((file) => file.AuditView)) },
  changes: { title: "Changes", show: later("Changes", () => import("./changes.js").then((file) => file.ChangesView)) },
  operations: { title: "Operations", show: later("Operations", () => import("./operations.js").then((file) => file.OperationsView)) },
  setup: { title: "Setup", show: later("Setup", () => import("./setup/setup.js").then((file) => file.SetupView)) },
  programs: { title: "Programs", show: later("Programs", () => import("./settlement/statement.js").then((file) => file.ProgramsView)) },
  statements: { title: "Statement", show: later("Statement", () => import("./settlement/statement.js").then((file) => file.FacilityStatementView)) },
  search: { title: "Search", show: later("Search", () => import("./search.js").then((file) => file.SearchView)) },
  missing: { title: "No such view", show: Missing },
};

/** In place of a view that the person may not see. */
export function NotYours({ title }) {
  return html`<div class="page"><div class="page-head"><h1 tabindex="-1">${title}</h1></div>
    <div class="panel"><${NotForRole} what="this view" roles="dashboard or operator" /><p class="more"><a href=${hrefTo(...homeOf())}>To what your key may see</a></p></div></div>`;
}

/** The view at `at`, and what is shown of it to who has signed in. */
export function viewOf(at, signedIn) {
  const [home] = homeOf(signedIn);
  const name = at.view || home;
  const view = Object.hasOwn(VIEWS, name) ? VIEWS[name] : VIEWS.missing; // `constructor` names none
  return view.needs && !may(view.needs(at), signedIn) ? { title: view.title, show: () => html`<${NotYours} title=${view.title} />` } : view;
}
