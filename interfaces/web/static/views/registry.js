// Every view by its name in the address.
import { html } from "../dom.js";
import { Empty } from "../components/parts.js";
import { hrefTo } from "../router.js";
import { later } from "./later.js";
import { PortfolioView } from "./portfolio.js";

const Missing = () => html`<div class="page"><h1 tabindex="-1">No such view</h1>
  <${Empty} title="The address names no view of this page."><a href=${hrefTo("portfolio")}>Go to the portfolio</a></${Empty}></div>`;

/** `show` gets `id` (null without one) and `options` (URLSearchParams). Its first heading is an `h1` with tabindex -1. */
export const VIEWS = {
  portfolio: { title: "Portfolio", show: PortfolioView },
  "dr-events": {
    title: "DR events",
    show: later("DR events", () => import("./dr_event.js").then(({ DREventView, DREventsView }) => (at) => (at.id ? html`<${DREventView} ...${at} />` : html`<${DREventsView} />`))),
  },
  facilities: {
    title: "Facilities",
    show: later("Facilities", () => import("./facility.js").then(({ FacilityView, FacilitiesView }) => (at) => (at.id ? html`<${FacilityView} ...${at} />` : html`<${FacilitiesView} />`))),
  },
  audit: { title: "Audit", show: later("Audit", () => import("./audit.js").then((file) => file.AuditView)) },
  changes: { title: "Changes", show: later("Changes", () => import("./changes.js").then((file) => file.ChangesView)) },
  operations: { title: "Operations", show: later("Operations", () => import("./operations.js").then((file) => file.OperationsView)) },
  setup: { title: "Setup", show: later("Setup", () => import("./setup/setup.js").then((file) => file.SetupView)) },
  programs: { title: "Programs", show: later("Programs", () => import("./settlement/statement.js").then((file) => file.ProgramsView)) },
  statements: { title: "Statement", show: later("Statement", () => import("./settlement/statement.js").then((file) => file.FacilityStatementView)) },
  missing: { title: "No such view", show: Missing },
};
