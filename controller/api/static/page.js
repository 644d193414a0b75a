"use strict";

const REASONS = {
  MetricEmpty: "there was no reading, so it held",
  MetricPartial: "a part of the load was missing: it may add, never remove",
  HistoryShort: "less than 16 minutes of load are remembered yet",
  OutOfDistribution: "the load is unlike the network's training, so the newsvendor rule answered",
  PolicyUnusable: "the network gave no number, so the HPA's rule answered",
  BelowBand: "fewer replicas run than the band asks for",
  WithinBand: "the replicas are within the band, so it held",
  AboveBand: "more replicas run than the band asks for",
  CeilingRatio: "more would be above twice what the HPA would run",
  FloorUtilization: "fewer would load the replicas above 90 %",
  MinReady: "too few replicas are ready to remove any",
  PodsNotReady: "pods that were asked for do not become ready",
  JustStarted: "it has just started to look at this workload",
  ScaleUpLimit: "one decision may at most double the replicas",
  ScaleDownLimit: "the rate limit allows no more removals now",
  ScaleUpStabilized: "the window for adding asked for less",
  ScaleDownStabilized: "the window for removing asked for more",
  TooFewReplicas: "raised to minReplicas",
  TooManyReplicas: "lowered to maxReplicas",
};
const SIZE = { width: 1000, height: 330, left: 38, right: 10, top: 10, bottom: 26 };
const MOST_ROWS = 5760;

const at = (id) => document.getElementById(id);
const state = { seed: 1, load: null, stepSeconds: 60, result: null, cursor: null, token: null, asked: 0 };

function price() {
  return Math.round(10 ** (Number(at("price").value) / 100 * 3) * 10) / 10;
}

function showSettings() {
  const asked = price();
  at("price-shown").textContent = asked < 10 ? asked.toFixed(1) : Math.round(asked);
  at("price-help").textContent = `1 % bad requests cost as much as ${asked < 10 ? asked.toFixed(1) : Math.round(asked)} % of the ideal bill.`;
  at("startup-shown").textContent = `${at("startup").value} s`;
}

function wishes() {
  const chosen = document.querySelector("input[name=load]:checked").value;
  const request = { price: Math.max(1, price()), startupSeconds: Number(at("startup").value), seed: state.seed };
  if (chosen !== "own") return { ...request, generate: chosen, hours: chosen === "day" ? 24 : 6 };
  return state.load && { ...request, load: state.load, stepSeconds: state.stepSeconds };
}

async function run() {
  const request = wishes();
  if (!request) return;
  const turn = ++state.asked;
  at("result").setAttribute("aria-busy", "true");
  try {
    const result = await ask(request);
    if (turn === state.asked) show(result);
  } catch (error) {
    if (turn === state.asked) complain(error.message);
  }
  if (turn === state.asked) at("result").setAttribute("aria-busy", "false");
}

async function ask(request) {
  const headers = { "Content-Type": "application/json" };
  if (state.token) headers.Authorization = `Bearer ${state.token}`;
  let answer;
  try {
    answer = await fetch("/v1/simulations", { method: "POST", headers, body: JSON.stringify(request) });
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  at("token-form").hidden = answer.status !== 401;
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail);
  at("problem").hidden = true;
  return body;
}

function complain(text) {
  at("problem").textContent = text;
  at("problem").hidden = false;
}

function show(result) {
  state.result = result;
  state.cursor = null;
  figures("forescale", result.forescale);
  figures("hpa", result.hpa);
  verdict(result);
  draw();
}

function figures(id, side) {
  const rows = [["replica-hours", side.replicaHours.toFixed(1)], ["bad requests", percent(side.badPercent)], ["changes", side.changes]];
  at(id).replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("div");
    row.append(element("dt", name), element("dd", value));
    return row;
  }));
}

function percent(value) {
  return value > 0 && value < 0.01 ? "<0.01 %" : `${value.toFixed(2)} %`;
}

function verdict({ forescale, hpa }) {
  const cheaper = (1 - forescale.replicaHours / hpa.replicaHours) * 100;
  const fewer = hpa.badPercent - forescale.badPercent;
  const cost = part(cheaper, 0.5, `${Math.abs(cheaper).toFixed(0)} % ${cheaper > 0 ? "fewer" : "more"} replica-hours than the HPA`, "as many replica-hours as the HPA");
  const bad = part(fewer, 0.005, `${Math.abs(fewer).toFixed(2)} % ${fewer > 0 ? "fewer" : "more"} of all requests bad`, "the same share of bad requests");
  at("verdict").replaceChildren("forescale used ", cost, ", with ", bad, ".");
}

function part(gain, least, text, same) {
  if (Math.abs(gain) < least) return element("span", same);
  const span = element("span", text);
  span.className = gain > 0 ? "good" : "bad";
  return span;
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function svg(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function draw() {
  const { result } = state;
  const load = result.demand.map((value) => value / result.capacityPerReplica);
  const last = result.timeS.length - 1;
  const top = Math.max(2, ...load, ...result.forescale.replicas, ...result.hpa.replicas) * 1.06;
  const narrow = at("chart").clientWidth < 560;
  const size = narrow ? { ...SIZE, width: 480, height: 300, left: 30 } : SIZE;
  const x = (step) => size.left + (step / last) * (size.width - size.left - size.right);
  const y = (value) => size.height - size.bottom - (value / top) * (size.height - size.top - size.bottom);
  const picture = svg("svg", { viewBox: `0 0 ${size.width} ${size.height}` });
  axes(picture, result, top, size, x, y);
  const area = load.map((value, step) => `${x(step)},${y(value)}`).join(" ");
  picture.append(svg("polygon", { class: "load-area", points: `${x(0)},${y(0)} ${area} ${x(last)},${y(0)}` }));
  picture.append(svg("path", { class: "band-area", d: band(result.decisions, x, y) }));
  picture.append(svg("path", { class: "rival-line", d: steps(result.hpa.replicas, x, y) }));
  picture.append(svg("path", { class: "ours-line", d: steps(result.forescale.replicas, x, y) }));
  const cursor = svg("g", {});
  picture.append(cursor);
  at("chart").replaceChildren(picture);
  state.view = { x, y, size, cursor, last, picture };
}

function axes(picture, result, top, size, x, y) {
  const unit = [1, 2, 5, 10, 20, 50, 100].find((step) => top / step <= 6) || 200;
  for (let value = 0; value <= top; value += unit) {
    picture.append(svg("line", { class: "grid", x1: size.left, x2: size.width - size.right, y1: y(value), y2: y(value) }));
    const label = svg("text", { class: "axis", x: size.left - 6, y: y(value) + 4, "text-anchor": "end" });
    label.textContent = value;
    picture.append(label);
  }
  const last = result.timeS.length - 1;
  for (let part = 0; part <= 4; part += 1) {
    const step = Math.round((part / 4) * last);
    const anchor = part === 0 ? "start" : part === 4 ? "end" : "middle";
    const label = svg("text", { class: "axis", x: x(step), y: size.height - 7, "text-anchor": anchor });
    label.textContent = clock(result.timeS[step]);
    picture.append(label);
  }
}

function clock(seconds) {
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")} h`;
}

function steps(values, x, y) {
  return values.map((value, step) => (step ? `H${x(step)}V${y(value)}` : `M${x(0)} ${y(value)}`)).join("");
}

function band(decisions, x, y) {
  return decisions.map(({ lo, hi }, step) => {
    if (lo === null || step + 1 >= decisions.length) return "";
    const height = Math.max(1, y(lo) - y(Math.max(lo, hi)));
    return `M${x(step)} ${y(lo)}H${x(step + 1)}v${-height}H${x(step)}z`;
  }).join("");
}

function pointTo(step) {
  if (!state.result) return;
  const { x, y, size, cursor, last } = state.view;
  state.cursor = Math.min(last, Math.max(0, step));
  const { result } = state;
  const ours = result.forescale.replicas[state.cursor];
  const rival = result.hpa.replicas[state.cursor];
  const place = x(state.cursor);
  cursor.replaceChildren(
    svg("line", { class: "cursor", x1: place, x2: place, y1: size.top, y2: size.height - size.bottom }),
    svg("circle", { class: "dot rival", cx: place, cy: y(rival), r: 5 }),
    svg("circle", { class: "dot ours", cx: place, cy: y(ours), r: 5 }),
  );
  tell(result, state.cursor, ours, rival);
}

function tell(result, step, ours, rival) {
  const decision = result.decisions[Math.min(step, result.decisions.length - 1)];
  const line = document.createElement("p");
  const load = Math.round(result.demand[step]);
  const bandText = decision.lo === null ? "" : ` Band: hold between ${decision.lo} and ${Math.max(decision.lo, decision.hi)}.`;
  line.append(element("strong", clock(result.timeS[step])), ` ${load} requests/s. `, element("strong", `forescale ${ours}`), `, HPA ${rival}.${bandText}`);
  const list = document.createElement("ul");
  for (const reason of decision.reasons) list.append(element("li", `${reason}: ${REASONS[reason] || "see the documentation"}`));
  at("story").replaceChildren(line, list);
}

function stepAt(event) {
  const { picture, size, last } = state.view;
  const box = picture.getBoundingClientRect();
  const place = ((event.clientX - box.left) / box.width) * size.width;
  return Math.round(((place - size.left) / (size.width - size.left - size.right)) * last);
}

async function takeFile(file) {
  state.load = null;
  if (!file) return;
  try {
    readCsv(await file.text());
    run();
  } catch (error) {
    complain(`${file.name}: ${error.message}`);
  }
}

function readCsv(text) {
  const rows = text.split(/\r?\n/).filter((line) => line.trim() && !line.startsWith("#")).map((line) => line.split(","));
  if (rows.length && rows[0].some((cell) => !isNumber(cell))) rows.shift();
  const wrong = rows.findIndex((row) => row.length > 2 || !row.every(isNumber) || Number(row.at(-1)) < 0);
  if (wrong >= 0) throw new Error(`row ${wrong + 1}, "${rows[wrong].join(",").slice(0, 60)}", is not a time and a load of 0 or more`);
  if (rows.length < 20 || rows.length > MOST_ROWS) throw new Error(`${rows.length} rows, needs 20 to ${MOST_ROWS}`);
  const step = rows[0].length === 2 ? Number(rows[1][0]) - Number(rows[0][0]) : 60;
  if (!Number.isInteger(step) || step < 15 || step > 3600) throw new Error(`${step} s between rows, needs 15 to 3600 whole seconds`);
  const uneven = rows[0].length === 2 && rows.findIndex((row, i) => i && Number(row[0]) - Number(rows[i - 1][0]) !== step);
  if (uneven > 0) throw new Error(`row ${uneven + 1} is not ${step} s after the one before`);
  state.load = rows.map((row) => Number(row.at(-1)));
  state.stepSeconds = step;
}

function isNumber(cell) {
  return cell.trim() !== "" && Number.isFinite(Number(cell));
}

let waiting = null;
function soon() {
  showSettings();
  clearTimeout(waiting);
  waiting = setTimeout(run, 250);
}

at("controls").addEventListener("submit", (event) => event.preventDefault());
at("loads").addEventListener("change", () => {
  at("upload").hidden = !at("own").checked;
  if (at("own").checked && !state.load) at("file").focus();
  else run();
});
at("file").addEventListener("change", (event) => takeFile(event.target.files[0]));
at("price").addEventListener("input", soon);
at("startup").addEventListener("input", soon);
at("again").addEventListener("click", () => { state.seed += 1; run(); });
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = at("token").value;
  run();
});
at("chart").addEventListener("pointermove", (event) => { if (state.view) pointTo(stepAt(event)); });
at("chart").addEventListener("pointerdown", (event) => { if (state.view) pointTo(stepAt(event)); });
at("chart").addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20, Home: -1e9, End: 1e9 };
  if (!(event.key in moves) || !state.view) return;
  event.preventDefault();
  pointTo((state.cursor ?? 0) + moves[event.key]);
});
window.addEventListener("resize", () => {
  if (!state.result) return;
  draw();
  if (state.cursor !== null) pointTo(state.cursor);
});

showSettings();
run();
