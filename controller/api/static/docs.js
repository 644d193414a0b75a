"use strict";

function element(name, text, className) {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function resolved(schema, all) {
  const name = schema && schema.$ref && schema.$ref.split("/").at(-1);
  return name ? all[name] : schema;
}

function fields(schema, all) {
  const known = resolved(schema, all);
  const rows = Object.entries((known && known.properties) || {});
  return rows.map(([name, field]) => {
    const needed = (known.required || []).includes(name) ? "" : " (optional)";
    const description = field.description || (resolved(field, all) || {}).description || "";
    return `${name}${needed}  ${description}`;
  }).join("\n");
}

function operation(method, path, about, all) {
  const box = element("section", "", "operation");
  const title = element("h2", "");
  title.append(element("code", `${method.toUpperCase()} ${path}`));
  box.append(title, element("p", about.description || about.summary));
  const body = about.requestBody && about.requestBody.content["application/json"].schema;
  if (body) box.append(element("p", "Request:"), element("pre", fields(body, all)));
  const answer = about.responses["200"].content["application/json"].schema;
  box.append(element("p", "Answer:"), element("pre", fields(answer, all)));
  return box;
}

async function show() {
  const place = document.getElementById("operations");
  const spec = await (await fetch("/openapi.json")).json();
  for (const [path, methods] of Object.entries(spec.paths)) {
    for (const [method, about] of Object.entries(methods)) place.append(operation(method, path, about, spec.components.schemas));
  }
  place.setAttribute("aria-busy", "false");
}

show();
