// Shows openapi.json: every route with what it takes and answers, and a form to try it with. All that
// comes from the document or from an answer is text, never markup.

/** An element with these properties and children. */
function el(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

const byId = (id) => document.getElementById(id);

/** A line of the document's text: what stands between ` is code. */
function prose(text, tag = "p") {
  const parts = text.split("`").map((part, n) => (n % 2 ? el("code", {}, part) : part));
  return el(tag, {}, ...parts);
}

/** Lines of text: those that begin with "- " are a list. */
function lines(text) {
  const all = text.split("\n");
  if (!all.every((line) => line.startsWith("- "))) return prose(text, "div");
  return el("div", {}, ...all.map((line) => prose(line.slice(2), "div")));
}

const nameOf = (ref) => ref.split("/").pop();

/** In a few words, what a schema asks for. */
function kind(schema) {
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return el("a", { href: `#schema-${name}` }, name);
  }
  const either = schema.oneOf ?? schema.anyOf;
  if (either) {
    return el("span", {}, ...either.flatMap((one, n) => (n ? [" or ", kind(one)] : [kind(one)])));
  }
  if (schema.type === "array") return el("span", {}, "list of ", kind(schema.items));
  if (schema.additionalProperties?.type || schema.additionalProperties?.$ref) {
    return el("span", {}, "object of ", kind(schema.additionalProperties));
  }
  if (schema.enum) {
    const words = schema.enum.map((word) => (word === "" ? "(empty)" : String(word)));
    return el("span", {}, el("code", {}, words.join(" | ")));
  }
  const types = [schema.type ?? "anything"].flat().map((it) => (it === schema.type && schema.format) || it);
  const limits = [
    schema.minimum === undefined ? "" : `≥ ${schema.minimum}`,
    schema.maximum === undefined ? "" : `≤ ${schema.maximum}`,
    schema.default === undefined ? "" : `usually ${schema.default}`,
    schema.pattern ?? "",
  ];
  return el("span", {}, [types.join(" or "), ...limits.filter((limit) => limit !== "")].join(", "));
}

/** A schema with its fields. */
function shape(schema) {
  const inner = schema.type === "array" ? schema.items : schema;
  const fields = Object.entries(inner.properties ?? {});
  const head = el("div", {}, kind(schema));
  if (schema.description) head.append(" ", prose(schema.description, "span"));
  if (fields.length === 0) return head;
  const required = new Set(inner.required ?? []);
  const list = fields.map(([name, field]) => {
    const mark = required.has(name) ? null : el("small", {}, " may be absent");
    const nested = field.properties || field.items?.properties ? shape(field) : kind(field);
    const says = field.description && !field.properties ? prose(` ${field.description}`, "small") : null;
    return el("li", {}, el("code", {}, name), ": ", nested, mark, says && " ", says);
  });
  return el("div", {}, head, el("ul", { className: "shape" }, ...list));
}

function parameters(operation) {
  const rows = (operation.parameters ?? []).map((it) =>
    el("tr", {},
      el("td", {}, el("code", {}, it.name), it.required ? "" : el("small", {}, ` ${it.in}`)),
      el("td", {}, kind(it.schema)),
      el("td", {}, prose(it.description ?? "", "span"))));
  return rows.length ? [el("h3", {}, "Parameters"), el("table", {}, ...rows)] : [];
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const content = Object.entries(answer.content ?? {});
    const isProblem = content.some(([type]) => type.startsWith("application/problem"));
    const shown = isProblem ? [] : content.map(([type, it]) => el("div", {}, el("small", {}, type), " ", shape(it.schema)));
    return el("tr", {}, el("td", {}, status), el("td", {}, lines(answer.description), ...shown));
  });
  return [el("h3", {}, "Answers"), el("table", {}, ...rows)];
}

/** An example for a schema: its own, or made from its fields. */
function example(schema, parts) {
  if (schema.$ref) return example(parts[nameOf(schema.$ref)], parts);
  if (schema.examples) return schema.examples[0];
  if (schema.anyOf ?? schema.oneOf) return example((schema.anyOf ?? schema.oneOf)[0], parts);
  if (schema.type === "array") return [example(schema.items, parts)];
  if (schema.enum) return schema.enum[0];
  if (schema.properties) {
    const required = (schema.required ?? []).map((name) => [name, example(schema.properties[name], parts)]);
    return Object.fromEntries(required);
  }
  const first = [schema.type].flat()[0];
  return { string: "", integer: schema.minimum ?? 0, number: 0, boolean: false }[first] ?? {};
}

/** What a request brings that changes something: nothing else lets a session do so. */
async function csrf() {
  const answer = await fetch("session");
  return answer.ok ? (await answer.json()).csrf : null;
}

async function send(path, method, operation, fields, body) {
  const query = new URLSearchParams();
  const headers = {};
  let place = path;
  for (const [parameter, input] of fields) {
    if (input.value === "") continue;
    if (parameter.in === "path") place = place.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (parameter.in === "query") query.set(parameter.name, input.value);
    else headers[parameter.name] = input.value;
  }
  const token = byId("token").value;
  if (token !== "") headers.Authorization = `Bearer ${token}`;
  else if (method !== "get") {
    const shown = await csrf();
    if (shown !== null) headers["X-CSRF-Token"] = shown;
  }
  if (body !== null && body.value !== "") headers["Content-Type"] = "application/json";
  const url = query.size ? `${place}?${query}` : place;
  const init = { method: method.toUpperCase(), headers, credentials: token === "" ? "same-origin" : "omit" };
  if (body !== null && body.value !== "") init.body = body.value;
  const begin = performance.now();
  const answer = await fetch(url, init);
  const text = await answer.text();
  const took = Math.round(performance.now() - begin);
  let shown = text.slice(0, 100_000);
  if ((answer.headers.get("content-type") ?? "").includes("json") && text.length < 1_000_000) {
    try {
      shown = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // NDJSON stays as it is.
    }
  }
  const told = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  return `${init.method} ${url}\n\n${answer.status} ${answer.statusText}, ${took} ms\n${told}\n\n${shown}`;
}

function trial(path, method, operation, parts) {
  const kinds = Object.values(operation.responses).flatMap((it) => Object.keys(it.content ?? {}));
  if (operation.responses[101] || kinds.includes("text/event-stream")) return [];
  const fields = (operation.parameters ?? []).map((parameter) => {
    const words = parameter.schema.enum;
    const input = words
      ? el("select", {}, ...["", ...words.filter((word) => word !== "")].map((word) => el("option", {}, word)))
      : el("input", { placeholder: parameter.schema.examples?.[0] ?? "" });
    input.required = parameter.required;
    return [parameter, input];
  });
  const schema = operation.requestBody?.content["application/json"]?.schema;
  const body = schema ? el("textarea", { spellcheck: false }) : null;
  if (body !== null && operation.requestBody.required) body.value = JSON.stringify(example(schema, parts), null, 2);
  const shown = el("pre", { className: "hidden", tabIndex: 0 });
  const form = el("form", {},
    ...fields.map(([parameter, input]) => el("label", {}, el("code", {}, parameter.name), input)),
    body && el("label", {}, "Body", body),
    el("div", {}, el("button", {}, "Send")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    shown.classList.remove("hidden");
    shown.textContent = "…";
    try {
      shown.textContent = await send(path, method, operation, fields, body);
    } catch (error) {
      shown.textContent = `No answer: ${error}`;
    }
  });
  return [el("h3", {}, "Try it"), form, shown];
}

function operationOf(path, method, operation, parts) {
  const inside = el("div");
  const made = el("details", { className: "op", id: operation.operationId },
    el("summary", {},
      el("span", { className: `method ${method}` }, method.toUpperCase()),
      el("span", { className: "path" }, path),
      el("span", { className: "quiet" }, operation.summary)),
    inside);
  // Most are never looked at: what is in them is made when they are opened.
  made.addEventListener("toggle", () => {
    if (!made.open || inside.childElementCount > 0) return;
    const body = operation.requestBody;
    const bodies = body ? Object.entries(body.content) : [];
    inside.append(
      prose(operation.description ?? operation.summary),
      ...parameters(operation),
      ...(body ? [el("h3", {}, body.required ? "Body" : "Body, which may be absent")] : []),
      ...bodies.map(([type, it]) => el("div", {}, el("small", {}, type), " ", shape(it.schema))),
      ...answers(operation),
      ...trial(path, method, operation, parts));
  });
  return made;
}

/** Opens what the address names. */
function follow() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
  target?.scrollIntoView();
}

function find() {
  const wanted = byId("find").value.toLowerCase();
  const hide = (it, is) => it.classList.toggle("hidden", is);
  for (const it of document.querySelectorAll("main details")) hide(it, !it.textContent.toLowerCase().includes(wanted));
  // A link is there if what it leads to is, and a heading if there is something below it.
  for (const it of document.querySelectorAll("nav li")) hide(it, byId(it.firstChild.hash.slice(1)).matches(".hidden"));
  const isEmpty = (it, what) => it.querySelector(`${what}:not(.hidden)`) === null;
  for (const it of document.querySelectorAll("section")) hide(it, isEmpty(it, "details"));
  for (const it of document.querySelectorAll("nav ul")) hide(it.previousElementSibling, isEmpty(it, "li"));
}

function show(api) {
  const parts = api.components.schemas;
  byId("version").textContent = api.info.version;
  byId("about").replaceWith(prose(api.info.description));
  const all = Object.entries(api.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })));
  for (const tag of api.tags) {
    const those = all.filter((it) => it.operation.tags.includes(tag.name));
    byId("main").append(el("section", {}, el("h2", {}, tag.name), prose(tag.description),
      ...those.map((it) => operationOf(it.path, it.method, it.operation, parts))));
    byId("nav").append(el("h2", {}, tag.name), el("ul", {}, ...those.map((it) =>
      el("li", {}, el("a", { href: `#${it.operation.operationId}` }, it.operation.summary)))));
  }
  byId("main").append(el("section", {}, el("h2", {}, "Shapes"), ...Object.entries(parts).map(([name, schema]) =>
    el("details", { className: "part", id: `schema-${name}` }, el("summary", {}, name), el("div", {}, shape(schema))))));
  byId("find").addEventListener("input", find);
  addEventListener("hashchange", follow);
  follow();
}

try {
  const answer = await fetch("openapi.json");
  show(await answer.json());
} catch (error) {
  byId("about").textContent = `The document cannot be read: ${error}`;
}
