// The view is still to be built.
import { Empty } from "../components/parts.js";
import { html } from "../dom.js";

export const AuditView = () => html`<div class="page"><h1 tabindex="-1">Audit</h1><${Empty} title="This view is being built." /></div>`;
