// The view is still to be built.
import { Empty } from "../components/parts.js";
import { html } from "../dom.js";

export const OperationsView = () => html`<div class="page"><h1 tabindex="-1">Operations</h1><${Empty} title="This view is being built." /></div>`;
