// Setting up: registering facilities and programs, keys, and the import of a portfolio file.
import { Panel } from "../../components/parts.js";
import { NotForRole } from "../../components/refused.js";
import { html } from "../../dom.js";
import { hrefTo } from "../../router.js";
import { may, session } from "../../session.js";
import { useStore } from "../../store.js";
import { later } from "../later.js";
import { FacilityForm } from "./facility_form.js";
import { ProgramForm } from "./program_form.js";

const Keys = later("Keys", () => import("./keys.js").then((file) => file.Keys));
const PortfolioFile = later("Import", () => import("./portfolio_file.js").then((file) => file.PortfolioFile));

/** Before the first form is drawn; without it the fields stand below each other. */
await new Promise((loaded) => {
  const sheet = Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/static/styles/forms.css", onload: loaded, onerror: loaded });
  document.head.append(sheet);
});

const PLACES = [
  ["facility", "Register a facility", "Its meters, zones, BMS, enrolments and limits. To change one, open it and choose Edit.", "operate"],
  ["program", "Register a program", "The terms of a utility's contract. To change one, open it and choose Edit.", "operate"],
  ["import", "Import", "A portfolio file, with its difference shown first; past readings from a file, checked first, and taken back.", "administer"],
  ["keys", "Keys", "Who may call: made, rotated and revoked; meter logins.", "administer"],
];

/** `id`: `facility`, `facility/ID`, `program`, `program/ID`, `import`, `keys`, or null for the places themselves. */
export function SetupView({ id }) {
  const signedIn = useStore(session);
  const [place, ...rest] = (id || "").split("/");
  const named = rest.join("/") || null;
  if (may("operate", signedIn)) {
    if (place === "facility") return html`<${FacilityForm} id=${named} />`;
    if (place === "program") return html`<${ProgramForm} id=${named} />`;
    if (place === "import") return html`<${PortfolioFile} />`;
    if (place === "keys") return html`<${Keys} />`;
  }
  const offered = PLACES.filter(([, , , what]) => may(what, signedIn));
  return html`<div class="page"><div class="page-head"><h1 tabindex="-1">Setup</h1></div>
    ${offered.length
      ? offered.map(([name, title, what]) => html`<${Panel} key=${name} title=${title} end=${html`<a class="button" href=${hrefTo("setup", name)}>Open<span class="visually-hidden"> ${title}</span></a>`}><p class="soft">${what}</p></${Panel}>`)
      : html`<${NotForRole} what="what an operator sets up" roles="operator or admin" />`}
  </div>`;
}
