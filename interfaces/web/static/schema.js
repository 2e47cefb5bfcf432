// The description of the API for people, at /schema: what /schema/openapi.json says, as operations and schemas.
import { Empty, Panel } from "./components/parts.js";
import { html, render, useEffect, useState } from "./dom.js";

const DOCUMENT = "/schema/openapi.json";
const METHODS = ["get", "post", "put", "patch", "delete"];
const TONES = { get: "busy", post: "ok", put: "warn", patch: "warn", delete: "bad" };
const LIMITS = { minimum: "≥", exclusiveMinimum: ">", maximum: "≤", exclusiveMaximum: "<" };

/** Text with `code` in it. */
const prose = (text) => String(text || "").split("`").map((part, n) => (n % 2 ? html`<code>${part}</code>` : part));
const nameOf = (ref) => ref.slice(ref.lastIndexOf("/") + 1);
const anchorOf = (method, path) => `${method}${path.replace(/[^a-z0-9]+/gi, "-")}`;

/** Every operation of the document: `{method, path, operation, tag}`, in the document's order. */
export function operationsOf(paths) {
  return Object.entries(paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({
      method,
      path,
      operation: { ...item[method], parameters: [...(item.parameters || []), ...(item[method].parameters || [])] },
      tag: (item[method].tags || ["others"])[0],
    })),
  );
}

/** The call with curl, with the example of the body if there is one. */
export function curlOf({ method, path, operation }) {
  const needed = operation.parameters.filter((one) => one.in === "query" && one.required);
  const query = needed.map((one) => `${one.name}=${one.name.toUpperCase()}`).join("&");
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}'${location.origin}${path}${query && `?${query}`}'`];
  const isOpen = operation.security && operation.security.length === 0;
  if (!isOpen) lines.push(`  -H "Authorization: Bearer $KEY"`);
  const [type, body] = Object.entries(operation.requestBody?.content || {})[0] || [];
  if (type) lines.push(`  -H 'Content-Type: ${type}'`, `  --data '${JSON.stringify(exampleOf(body) ?? {}).replaceAll("'", "'\\''")}'`);
  return lines.join(" \\\n");
}

function exampleOf(media) {
  const [first] = Object.values(media.examples || {});
  return media.example ?? first?.value ?? (media.schema?.examples || [])[0];
}

const joined = (parts, word) => parts.flatMap((part, n) => (n ? [` ${word} `, part] : [part]));

/** "1 to 200 characters"; nothing where there is no bound. */
function range(least, most, unit) {
  if (least === undefined) return most !== undefined && `at most ${most} ${unit}`;
  return most === undefined ? `at least ${least} ${unit}` : `${least} to ${most} ${unit}`;
}

/** The type of a value in one line; a named schema is a link. */
function Type({ of: schema = {} }) {
  if (schema.$ref) return html`<a href=${`#schema-${nameOf(schema.$ref)}`}>${nameOf(schema.$ref)}</a>`;
  const several = schema.oneOf || schema.anyOf || schema.allOf;
  if (several) return joined(several.map((one) => html`<${Type} of=${one} />`), schema.allOf ? "and" : "or");
  if (schema.const !== undefined) return html`<code>${JSON.stringify(schema.const)}</code>`;
  if (schema.enum) return joined(schema.enum.map((one) => html`<code>${JSON.stringify(one)}</code>`), "or");
  const bounds = [
    ...Object.entries(LIMITS).map(([key, sign]) => schema[key] !== undefined && `${sign} ${schema[key]}`),
    range(schema.minLength, schema.maxLength, "characters"),
    range(schema.minItems, schema.maxItems, "items"),
  ].filter(Boolean);
  const type = [schema.type || (schema.properties ? "object" : "anything")].flat().join(" or ");
  return html`${schema.items ? html`list of <${Type} of=${schema.items} />` : type}${schema.additionalProperties?.type || schema.additionalProperties?.$ref ? html` of <${Type} of=${schema.additionalProperties} />` : ""}${schema.format ? ` (${schema.format})` : ""}${bounds.length ? html`, ${bounds.join(", ")}` : ""}${schema.pattern ? html`, <code>${schema.pattern}</code>` : ""}`;
}

function Table({ head, rows, label }) {
  return html`<div class="table-frame" tabindex="0" role="group" aria-label=${label}>
    <table class="table">
      <thead><tr>${head.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${rows.map(([name, ...cells]) => html`<tr><th scope="row"><code>${name}</code></th>${cells.map((cell, n) => html`<td class=${n ? "wrap" : "type"}>${cell}</td>`)}</tr>`)}</tbody>
    </table>
  </div>`;
}

/** The fields of an object. */
function Fields({ schema, label }) {
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([name, of]) => [
    name,
    html`<${Type} of=${of} />`,
    html`${required.has(name) ? "required. " : of.default === undefined ? "optional. " : html`by default <code>${JSON.stringify(of.default)}</code>. `}${prose(of.description)}`,
  ]);
  return rows.length ? html`<${Table} head=${["field", "type", ""]} rows=${rows} label=${label} />` : html`<p><${Type} of=${schema} /></p>`;
}

function Example({ media, label }) {
  const example = exampleOf(media);
  if (example === undefined) return null;
  const text = typeof example === "string" ? example : JSON.stringify(example, null, 2);
  return html`<details><summary class="small">Example of ${label}</summary><pre tabindex="0" aria-label=${`Example of ${label}`}>${text}</pre></details>`;
}

function Contents({ content = {}, label }) {
  return Object.entries(content).map(
    ([type, media]) => html`<div class="stack" key=${type}><p><code>${type}</code>: <${Type} of=${media.schema} /></p><${Example} media=${media} label=${label} /></div>`,
  );
}

function Operation({ one }) {
  const { method, path, operation } = one;
  const id = anchorOf(method, path);
  const parameters = operation.parameters.map((given) => [
    given.name,
    html`<${Type} of=${given.schema} />`,
    html`${`in the ${given.in}${given.required ? ", required" : ""}. `}${prose(given.description)}`,
  ]);
  const isOpen = operation.security && operation.security.length === 0;
  return html`<details class="operation below-bar" id=${id}>
    <summary><span class="method" data-tone=${TONES[method]}>${method.toUpperCase()}</span><code>${path}</code><span class="soft">${operation.summary}</span></summary>
    <div class="operation-body">
      ${operation.description && html`<p>${prose(operation.description)}</p>`}
      <p class="soft">${isOpen ? "Without a key." : `With a key of role ${(operation["x-roles"] || []).join(", ") || "any"}.`}</p>
      ${parameters.length > 0 && html`<h3>Parameters</h3><${Table} head=${["parameter", "type", ""]} rows=${parameters} label=${`Parameters of ${method} ${path}`} />`}
      ${operation.requestBody && html`<h3>Body${operation.requestBody.required === false ? ", optional" : ""}</h3><${Contents} content=${operation.requestBody.content} label="the body" />`}
      <h3>Answers</h3>
      ${Object.entries(operation.responses).map(([status, answer]) => html`<div class="stack" key=${status}><p><code>${status}</code> ${prose(answer.description)}</p><${Contents} content=${answer.content} label=${`the answer ${status}`} /></div>`)}
      <h3>With curl</h3>
      <pre tabindex="0" aria-label=${`${method} ${path} with curl`}>${curlOf(one)}</pre>
    </div>
  </details>`;
}

function Schema({ name, schema }) {
  return html`<details class="operation below-bar" id=${`schema-${name}`}>
    <summary><code>${name}</code><span class="soft">${prose((schema.description || "").split("\n")[0])}</span></summary>
    <div class="operation-body"><${Fields} schema=${schema} label=${`Fields of ${name}`} /></div>
  </details>`;
}

/** Opens and shows what the address names. */
function openNamed() {
  const named = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!named) return;
  if (named instanceof HTMLDetailsElement) named.open = true;
  named.scrollIntoView();
}

const holds = (words, text) => words.every((word) => text.toLowerCase().includes(word));

function Api({ document: api }) {
  const [sought, setSought] = useState("");
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  const operations = operationsOf(api.paths).filter(({ method, path, operation, tag }) => holds(words, `${method} ${path} ${operation.summary} ${tag}`));
  const schemas = Object.entries(api.components?.schemas || {}).filter(([name]) => holds(words, name));
  const tags = [...new Set(operations.map(({ tag }) => tag))];
  useEffect(() => {
    openNamed();
    addEventListener("hashchange", openNamed);
    return () => removeEventListener("hashchange", openNamed);
  }, []);
  return html`<main class="page api">
    <div class="page-head">
      <div><h1>The API</h1><p class="lede">For machines: <a href=${DOCUMENT}>OpenAPI ${api.openapi}</a>. The page: <a href="/">dashboard</a>.</p></div>
      <div class="field"><label for="sought">Search</label><input class="input" id="sought" type="search" value=${sought} onInput=${(change) => setSought(change.target.value)} /></div>
    </div>
    ${operations.length + schemas.length === 0 && html`<${Empty} title="Nothing has these words" />`}
    ${tags.map((tag) => html`<${Panel} key=${tag} title=${tag} flush=${true}>${operations.filter((one) => one.tag === tag).map((one) => html`<${Operation} key=${anchorOf(one.method, one.path)} one=${one} />`)}<//>`)}
    ${schemas.length > 0 && html`<${Panel} title="Schemas" flush=${true}>${schemas.map(([name, schema]) => html`<${Schema} key=${name} name=${name} schema=${schema} />`)}<//>`}
  </main>`;
}

const root = document.getElementById("app");
fetch(DOCUMENT)
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`${DOCUMENT} answered ${answer.status}`))))
  .then((api) => render(html`<${Api} document=${api} />`, root))
  .catch((error) => render(html`<main class="page api"><h1>The API</h1><${Empty} title="The description could not be loaded">${error.message}<//></main>`, root));
