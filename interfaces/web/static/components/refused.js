// What a role may not read, or a server does not have, said as what it is instead of as an error.
import { html } from "../dom.js";
import { Empty, Loaded } from "./parts.js";

const NOT_THERE = new Set([404, 405, 501]);

/** `what` is not for this role; `roles`: those whose keys may. */
export const NotForRole = ({ what, roles }) => html`<${Empty} title=${`Your role does not read ${what}`}>
  ${`Sign in with a key of the role ${roles} to see it. The rest of the page is as it was.`}</${Empty}>`;

/** As `Loaded`, and a note where the role may not (403) or this server has no such thing. */
export function LoadedOrRefused({ query, what, roles, children, ...rest }) {
  const status = query.data === undefined && query.problem?.status;
  if (status === 403) return html`<${NotForRole} what=${what} roles=${roles} />`;
  if (NOT_THERE.has(status)) return html`<${Empty} title=${`This server does not tell ${what}`}>A newer version of Gridproof does.</${Empty}>`;
  return html`<${Loaded} query=${query} ...${rest}>${children}</${Loaded}>`;
}
