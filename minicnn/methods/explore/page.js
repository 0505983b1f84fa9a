"use strict";
const $ = (id) => document.getElementById(id);
const short = (v) => (v === 0 ? "0" : Number(v.toPrecision(4)).toString());
const firstName = (name) => name.split(",")[0]; // of those that a class has
const panes = [];
const state = { picture: null, style: "", zoom: true, active: 0, most: Infinity, forms: {}, rules: [] };
let linked = false; // two networks with the same layers go together

function make(tag, fields = {}, ...children) {
  const node = Object.assign(document.createElement(tag), fields);
  node.append(...children);
  return node;
}

// asking the server: every failure is one line on the page

function say(text) {
  $("line").textContent = text;
  $("line").hidden = !text;
}

function gone(yes) {
  $("gone").hidden = !yes;
  document.body.classList.toggle("dull", yes);
}

async function ask(name, values = {}, body) {
  let answer;
  try {
    const how = body === undefined ? {} : { method: "POST", body };
    answer = await (await fetch(`${name}?${new URLSearchParams(values)}`, how)).json();
  } catch {
    gone(true);
    return null;
  }
  gone(false);
  if (answer.error) say(answer.error);
  return answer.error ? null : answer;
}

// calls that come while the work goes on are one call more behind it: keys may be held down
function latest(work) {
  let busy = false, again = false;
  return async () => {
    again = true;
    if (busy) return;
    busy = true;
    try {
      while (again) {
        again = false;
        await work();
      }
    } finally {
      busy = false;
    }
  };
}

class Pane {
  constructor(number, net) {
    const relus = net.layers.flatMap(({ kind, shape }, i) => (kind === "ReLU" && shape[1] > 1 ? [i] : []));
    const layer = relus.length ? relus[relus.length >> 1] : 0; // in the middle
    Object.assign(this, { number, net, layer, unit: null, at: null, page: 0, order: "number", bright: "layer", wanted: null });
    this.root = $("pane").content.firstElementChild.cloneNode(true);
    $("panes").append(this.root);
    this.find("h2").textContent = `${net.name}: ${net.layers.length} layers, ${net.size} x ${net.size} pixels`;
    this.showUnits = latest(() => this.units());
    this.showUnit = latest(() => this.one());
    this.showCam = latest(() => this.cam());
    this.views = state.rules.map((rule) => this.view(rule));
    this.rows = net.layers.map((layer, i) => this.row(layer, i));
    this.find(".layers").append(...this.rows);
    this.listen();
  }

  find(selector) {
    return this.root.querySelector(selector);
  }

  get here() {
    return this.net.layers[this.layer];
  }

  // what a question names
  named(more = {}) {
    return { net: this.number, picture: state.picture, layer: this.here.name, ...more };
  }

  row(layer, i) {
    const from = layer.inputs.length ? ` of ${layer.inputs.join(" + ")}` : "";
    const told = `${layer.kind}${from}, ${layer.shape.join(" x ")}`;
    const strip = make("img", { alt: "", width: 208, height: 26 });
    const name = make("span", { title: `${layer.name}: ${told}` }, layer.name, make("span", { className: "kind", textContent: told }));
    const row = make("button", { type: "button" }, name, strip);
    row.onclick = (event) => {
      const units = event.target === strip && this.overview ? this.overview.layers[i].units : [];
      this.go({ layer: i, unit: units[Math.floor(event.offsetX / 26)] ?? null, at: null });
    };
    return row;
  }

  view(rule) {
    const figure = make("figure", {}, make("div", { className: "frame" }, make("div", { className: "inner" }, make("img", { alt: rule }), make("i", { className: "box" }))), make("figcaption"));
    this.find(".views").append(figure);
    const frame = figure.firstChild, caption = figure.lastChild;
    const show = latest(async () => {
      if (!this.told) return;
      const asked = this.told;
      const answer = await ask("view", { ...asked.named, at: asked.at.join(), rule });
      if (!answer || asked !== this.told) return;
      frame.querySelector("img").src = answer.image;
      caption.textContent = answer.most ? `${rule}, black and white ±${short(answer.most)}` : `${rule}: nothing comes down by this rule`;
    });
    return { frame, show };
  }

  listen() {
    this.root.addEventListener("pointerdown", () => activate(this.number));
    for (const name of ["order", "bright"]) this.find(`.${name}`).onchange = (event) => this.together((pane) => pane.arrange({ [name]: event.target.value }));
    for (const [name, step] of [["before", -1], ["after", 1]]) this.find(`.${name}`).onclick = () => this.together((pane) => pane.turn(step));
    this.find(".map").onclick = (event) => this.point(event, (x, y, [, P, Q]) => [Math.floor(y * P), Math.floor(x * Q)]);
    this.find(".seen").onclick = (event) => this.point(event, (x, y, [, P, Q]) => {
      const { field, stride, offset } = this.here;
      if (!field) return [0, 0];
      const near = (share, i, most) => Math.min(most - 1, Math.max(0, Math.round((share * this.net.size - offset[i] - field[i] / 2) / stride[i])));
      return [near(y, 0, P), near(x, 1, Q)];
    });
    this.find(".find").onsubmit = (event) => {
      event.preventDefault();
      this.classOf(this.find(".find input").value.trim());
    };
    this.find(".plain").onclick = () => this.classOf(null);
  }

  // a click in a frame, as shares of what it shows whole
  point(event, place) {
    const box = event.currentTarget.querySelector(".inner").getBoundingClientRect();
    const share = (at, from, length) => Math.min(0.9999, Math.max(0, (at - from) / length));
    this.go({ at: place(share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height), this.here.shape) });
  }

  // one entry of the map further
  step(key) {
    if (!this.told) return;
    const [, P, Q] = this.here.shape, [row, column] = this.told.at;
    const at = [row + (key === "J") - (key === "K"), column + (key === "L") - (key === "H")];
    if (at[0] >= 0 && at[0] < P && at[1] >= 0 && at[1] < Q) this.go({ at });
  }

  together(step) {
    (linked ? panes : [this]).forEach(step);
  }

  // go to a layer, a unit, a position; linked panes go along
  go(to) {
    say("");
    activate(this.number);
    if (to.unit === null) to.unit = this.overview ? this.overview.layers[to.layer].units[0] : 0;
    this.together((pane) => pane.set(to));
    remember();
  }

  set(to) {
    const layer = to.layer !== undefined && to.layer !== this.layer;
    if (layer) this.page = 0;
    Object.assign(this, to);
    const pageOf = this.order === "number" ? Math.floor(this.unit / state.page) : this.page;
    if (layer || pageOf !== this.page || !this.shown) {
      this.page = pageOf;
      this.showUnits();
    }
    this.mark();
    this.showUnit();
  }

  // the units in another order or brightness
  arrange(how) {
    Object.assign(this, how);
    if (how.order) this.page = 0;
    for (const name of ["order", "bright"]) this.find(`.${name}`).value = this[name];
    this.showUnits();
  }

  turn(step) {
    const page = this.page + step;
    if (!this.shown || page < 0 || page >= this.shown.pages) return;
    this.page = page;
    this.first = true; // of the page is the unit then
    this.showUnits();
  }

  async refresh() {
    this.shown = this.told = null;
    const picture = state.picture;
    const overview = await ask("overview", { net: this.number, picture });
    if (!overview || picture !== state.picture) return;
    this.overview = overview;
    if (this.unit === null) this.go({ layer: this.layer, unit: linked ? panes[0].unit : null });
    this.net.layers.forEach((layer, i) => {
      const strip = this.rows[i].querySelector("img");
      strip.src = overview.strips[layer.name];
      strip.title = `units ${overview.layers[i].units.join(", ")}; ${overview.layers[i].range.map(short).join(" to ")}`;
    });
    this.find(".patch img").src = overview.image;
    this.classes();
    this.wanted && overview.classes.length ? this.showCam() : this.plain();
    this.showUnits();
    this.showUnit();
  }

  classes() {
    const { classes, without } = this.overview;
    this.find(".find").hidden = !classes.length;
    this.find(".note").textContent = without || "";
    this.find(".classes").replaceChildren(...classes.map((one) => {
      const button = make("button", { type: "button", title: `${one.name}: Grad-CAM`, onclick: () => this.classOf(String(one.class)) }, make("b", { textContent: firstName(one.name) }), `${(100 * one.probability).toFixed(1)} %`);
      button.style.setProperty("--share", `${100 * one.probability}%`);
      button.dataset.number = one.class;
      return make("li", {}, button);
    }));
  }

  // Grad-CAM of a class, or the picture
  classOf(wanted) {
    say("");
    this.together((pane) => {
      pane.wanted = wanted || null;
      if (pane.overview) wanted && pane.overview.classes.length ? pane.showCam() : pane.plain();
    });
  }

  async cam() {
    const { wanted } = this, picture = state.picture;
    const answer = await ask("cam", { net: this.number, picture, wanted });
    if (!answer && wanted === this.wanted) this.wanted = null;
    if (!answer || wanted !== this.wanted || picture !== state.picture) return;
    this.plain(answer.image, `Grad-CAM of ${firstName(answer.name)} (${answer.class}), score ${short(answer.score)}: maps of ${answer.maps}, brightest ${short(answer.most)}`, answer.name);
    this.root.querySelectorAll(".classes button").forEach((button) => button.classList.toggle("chosen", +button.dataset.number === answer.class));
  }

  plain(image = this.overview.image, note = this.overview.without || "", title = "") {
    this.find(".seen img").src = image;
    Object.assign(this.find(".note"), { textContent: note, title });
    this.root.querySelectorAll(".classes .chosen").forEach((button) => button.classList.remove("chosen"));
  }

  async units() {
    const asked = this.named({ page: this.page, order: this.order, scale: this.bright });
    const answer = await ask("units", asked);
    if (!answer || asked.layer !== this.here.name || asked.picture !== state.picture) return;
    this.shown = answer;
    if (this.first) {
      this.first = false;
      this.go({ unit: answer.units[0], at: null });
    }
    const tile = parseInt(getComputedStyle(document.documentElement).getPropertyValue("--tile"));
    const grid = this.find(".units"), focused = grid.contains(document.activeElement);
    grid.replaceChildren(...answer.units.map((unit, i) => {
      const name = answer.names ? ` ${answer.names[i]}` : "";
      const button = make("button", { type: "button", tabIndex: -1, title: `unit ${unit}${name}, largest ${short(answer.peaks[i])}`, onclick: () => this.go({ unit, at: null }) });
      button.setAttribute("aria-label", button.title);
      button.style.background = `url("${answer.image}") -${(i % answer.columns) * tile}px -${Math.floor(i / answer.columns) * tile}px / ${answer.columns * tile}px ${answer.rows * tile}px`;
      return button;
    }));
    const { shape, name } = this.here;
    this.find(".where").textContent = `${name}: ${shape[0]} units, maps of ${shape[1]} x ${shape[2]}`;
    scale(this.find(".layer .scale"), this.bright === "layer" ? answer.range.map(short) : ["0 or less", "its largest"]);
    this.find(".pages").hidden = answer.pages < 2;
    this.find(".pages output").textContent = `page ${this.page + 1} of ${answer.pages}`;
    this.mark(focused);
  }

  // mark the layer and the unit that are chosen
  mark(focus) {
    this.rows.forEach((row, i) => {
      row.classList.toggle("chosen", i === this.layer);
      row.setAttribute("aria-current", i === this.layer);
    });
    inView(this.rows[this.layer]);
    const grid = this.find(".units"), focused = focus || grid.contains(document.activeElement);
    const place = this.shown ? this.shown.units.indexOf(this.unit) : -1;
    [...grid.children].forEach((button, i) => {
      button.classList.toggle("chosen", i === place);
      button.tabIndex = i === Math.max(0, place) ? 0 : -1;
    });
    const button = grid.children[place];
    if (button) inView(button);
    if (button && focused) button.focus({ preventScroll: true });
  }

  async one() {
    const named = this.named({ unit: this.unit }), asked = [this.layer, this.unit, this.at, state.picture];
    const answer = await ask("unit", this.at ? { ...named, at: this.at.join() } : named);
    if (!answer || asked.some((value, i) => value !== [this.layer, this.unit, this.at, state.picture][i])) return;
    this.told = { ...answer, named };
    const [row, column] = answer.at, name = answer.name ? ` ${firstName(answer.name)}` : "";
    this.find(".who").title = answer.name || "";
    this.find(".who").textContent = `${named.layer} unit ${named.unit}${name}: ${short(answer.value)} at row ${row}, column ${column}` + (String(answer.at) === String(answer.peak) ? ", its largest" : `; its largest is ${short(answer.most)} at ${answer.peak.join(", ")}`);
    this.find(".map img").src = answer.image;
    scale(this.find(".map + figcaption .scale"), answer.range.map(short));
    const [, P, Q] = this.here.shape;
    mark(this.find(".map .box"), [row, column, row + 1, column + 1], P, Q);
    const box = answer.box;
    const [top, left, bottom, right] = box ? box.map((edge) => Math.min(this.net.size, Math.max(0, edge))) : [];
    this.find(".field").textContent = box ? `sees rows ${top} to ${bottom - 1}, columns ${left} to ${right - 1}` : "sees all of the picture";
    this.frames();
    this.views.forEach((view) => view.show()); // not waited for: the next unit may be asked before
    this.top(named);
  }

  // boxes on the picture and the views; zoomed, the box is all that is shown
  frames() {
    const size = this.net.size, box = this.told && this.told.box;
    for (const frame of [this.find(".seen"), this.find(".patch"), ...this.views.map((view) => view.frame)]) {
      const inner = frame.querySelector(".inner"), side = box ? Math.max(box[2] - box[0], box[3] - box[1]) : size;
      const zoomed = state.zoom && side < size && !frame.classList.contains("seen"), shown = zoomed ? side : size;
      inner.style.width = inner.style.height = `${(100 * size) / shown}%`;
      inner.style.left = zoomed ? `${(-100 * box[1]) / side}%` : "0";
      inner.style.top = zoomed ? `${(-100 * box[0]) / side}%` : "0";
      mark(frame.querySelector(".box"), zoomed ? null : box, size, size);
    }
  }

  async top({ layer, unit }) {
    const part = this.find(".top");
    part.hidden = !this.here.scanned;
    if (part.hidden) return;
    const answer = await ask("top", { net: this.number, layer, unit });
    if (!answer || layer !== this.here.name || unit !== this.unit) return;
    const hits = answer.hits.map(([name, value]) => make("li", { textContent: `${short(value)}  ${name}` }));
    const text = hits.length ? `Of ${answer.pictures} pictures of ${answer.data} these excite it most` : `It fires on none of ${answer.pictures} pictures of ${answer.data}`;
    const image = answer.image ? make("img", { src: answer.image, alt: "reconstructions beside patches" }) : "";
    part.replaceChildren(image, make("div", {}, make("p", { className: "note", textContent: text }), make("ol", {}, ...hits)));
  }
}

// the network that keys are for
function activate(number) {
  state.active = number;
  panes.forEach((pane, i) => pane.root.classList.toggle("active", panes.length > 1 && (linked || i === number)));
}

function mark(node, box, rows, columns) {
  node.hidden = !box;
  if (!box) return;
  const share = (v, all) => `${(100 * v) / all}%`;
  Object.assign(node.style, { top: share(box[0], rows), left: share(box[1], columns), height: share(box[2] - box[0], rows), width: share(box[3] - box[1], columns) });
}

function scale(node, [low, high]) {
  node.replaceChildren(low, make("i"), high);
}

// scroll the list that a node is in, not the page
function inView(node) {
  const list = node.parentElement, from = list.getBoundingClientRect(), at = node.getBoundingClientRect();
  if (at.top < from.top) list.scrollTop -= from.top - at.top + 4;
  if (at.bottom > from.bottom) list.scrollTop += at.bottom - from.bottom + 4;
}

// the place looked at is in the address, so that it outlives loading again

function remember() {
  const places = panes.map((pane) => JSON.stringify([pane.here.name, pane.unit, pane.at]));
  history.replaceState(null, "", "#" + new URLSearchParams([["picture", state.picture], ...places.map((place) => ["at", place])]));
}

function parsed(text) {
  try {
    const [name, unit, at] = JSON.parse(text);
    return [name, Number(unit), Array.isArray(at) ? at : null];
  } catch {
    return [];
  }
}

function recall() {
  const told = new URLSearchParams(location.hash.slice(1));
  told.getAll("at").slice(0, panes.length).forEach((text, i) => {
    const [name, unit, at] = parsed(text), pane = panes[i];
    const layer = pane.net.layers.findIndex((one) => one.name === name);
    if (layer < 0 || !(unit < pane.net.layers[layer].shape[0])) return;
    Object.assign(pane, { layer, unit, at, page: Math.floor(unit / state.page) });
  });
  return told.get("picture");
}

// pictures

async function upload(file) {
  if (file.size > state.most) {
    say(`${file.name.slice(0, 80)} has ${Math.ceil(file.size / 2 ** 20)} MiB; pictures have at most ${state.most / 2 ** 20}`);
    return null;
  }
  return ask("upload", { name: file.name.slice(0, 200) }, file);
}

async function open(file) {
  say("");
  $("name").textContent = "reading ...";
  const answer = await upload(file);
  if (answer) await show(answer);
  else $("name").textContent = state.name || "";
}

async function show({ id, name, size, notes }) {
  state.picture = id;
  state.name = $("name").textContent = name ? [`${name}, ${size.join(" x ")}`, ...notes].join("; ") : "";
  $("name").title = state.name;
  remember();
  for (const pane of panes) await pane.refresh(); // the first chooses a unit for both
}

function choose(then) {
  $("file").onchange = () => {
    if ($("file").files.length) then($("file").files[0]);
    $("file").value = "";
  };
  $("file").click();
}

function dropping() {
  let depth = 0;
  const over = (step) => document.body.classList.toggle("over", (depth = Math.max(0, step ? depth + step : 0)) > 0);
  addEventListener("dragenter", () => over(1));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(0);
    const file = event.dataTransfer.files[0];
    if (!file) say("that was no file; drop a picture file");
    else if ($("style").contains(event.target)) styled(file);
    else open(file);
  });
}

// style and texture

const PURPOSE = {
  style: "The picture that is shown, painted like the style picture.",
  texture: "More of the texture of the picture that is shown.",
};

function fields() {
  const verb = $("verb").value;
  $("purpose").textContent = PURPOSE[verb];
  $("style").hidden = verb !== "style";
  $("stylepicture").hidden = verb !== "style" || !state.style;
  $("fields").replaceChildren(...state.forms[verb].map((field) => {
    const empty = make("option", { value: "", textContent: field.default });
    const input = field.choices.length ? make("select", {}, empty, ...field.choices.map((value) => make("option", { value, textContent: value }))) : make("input", { value: field.proposed, placeholder: field.default });
    Object.assign(input, { name: field.name, title: `${field.help} (default: ${field.default})` });
    return make("label", {}, `${field.label} `, input);
  }));
}

async function styled(file) {
  say("");
  const answer = await upload(file);
  if (!answer) return;
  state.style = answer.id;
  $("stylepicture").src = URL.createObjectURL(file);
  $("stylepicture").hidden = false;
}

async function start() {
  say("");
  const values = { net: $("net").value, verb: $("verb").value, content: state.picture, style: $("verb").value === "style" ? state.style : "" };
  for (const input of $("fields").querySelectorAll("input, select")) values[input.name] = input.value;
  $("start").disabled = true;
  $("told").textContent = "starting ...";
  const answer = await ask("start", {}, JSON.stringify(values));
  $("start").disabled = false;
  if (answer) follow(answer.number);
}

async function follow(number) {
  $("course").hidden = false;
  $("save").hidden = $("start").disabled = true;
  $("stop").disabled = false;
  $("stop").onclick = () => ask("stop", {}, JSON.stringify({ number }));
  let since = -1, told;
  do {
    if (told) await new Promise((done) => setTimeout(done, 400));
    told = await ask("search", { number, since });
    if (!told) break;
    since = told.iteration;
    if (told.image) $("made").src = told.image;
    progress(told);
  } while (!told.ended);
  $("start").disabled = false;
  $("stop").disabled = true;
  $("save").hidden = !told || told.failed;
  $("save").href = `saved?number=${number}`;
}

function progress({ iteration, iterations, losses, terms, ended, failed, notes }) {
  Object.assign($("progress"), { max: iterations, value: iteration });
  if (losses.length) $("span").textContent = `total loss, logarithmic, from ${short(Math.max(...losses))} down to ${short(Math.min(...losses))}; it jumps where a larger size begins`;
  const logs = losses.map((value) => Math.log(Math.max(value, 1e-30)));
  const low = Math.min(...logs), span = Math.max(...logs) - low || 1;
  const points = logs.map((v, i) => `${(300 * i) / Math.max(1, iterations - 1)},${96 - (92 * (v - low)) / span}`);
  $("losses").querySelector("polyline").setAttribute("points", points.join(" "));
  const parts = Object.entries(terms).map(([name, value]) => `${name} ${short(value)}`);
  $("told").textContent = [`iteration ${iteration} of ${iterations}`, ...parts, ...(ended ? [ended, ...notes] : [])].join("; ");
  if (failed) say(ended);
}

// keys

const moves = {
  units: (step) => (pane) => {
    const units = pane.shown ? pane.shown.units : [], at = units.indexOf(pane.unit);
    const place = Math.min(units.length - 1, Math.max(0, at + step(pane)));
    if (units.length && place !== at) pane.go({ unit: units[place], at: null });
    else if (units.length && step(pane) > 0) pane.together((one) => one.turn(1));
  },
  layer: (step) => (pane) => {
    const layer = Math.min(pane.net.layers.length - 1, Math.max(0, pane.layer + step));
    if (layer !== pane.layer) pane.go({ layer, unit: null, at: null });
  },
};
const SHIFTED = { ArrowLeft: "H", ArrowDown: "J", ArrowUp: "K", ArrowRight: "L" };
const across = (pane) => getComputedStyle(pane.find(".units")).gridTemplateColumns.split(" ").length;
const KEYS = [
  [["ArrowLeft", "h"], "the unit before", moves.units(() => -1)],
  [["ArrowRight", "l"], "the next unit", moves.units(() => 1)],
  [["ArrowUp", "k"], "a row of units up", moves.units((pane) => -across(pane))],
  [["ArrowDown", "j"], "a row of units down", moves.units((pane) => across(pane))],
  [["H", "J", "K", "L"], "the position in the map to the left, below, above, to the right; also Shift and an arrow", (pane, key) => pane.step(key)],
  [["p"], "the layer before", moves.layer(-1)],
  [["n"], "the next layer", moves.layer(1)],
  [["["], "the page of units before", (pane) => pane.together((one) => one.turn(-1))],
  [["]"], "the next page of units", (pane) => pane.together((one) => one.turn(1))],
  [["s"], "units by number, or strongest first", (pane) => pane.together((one) => one.arrange({ order: one.order === "number" ? "strength" : "number" }))],
  [["b"], "brightness of the layer, or of each unit", (pane) => pane.together((one) => one.arrange({ bright: one.bright === "layer" ? "unit" : "layer" }))],
  [["m"], "the position where the unit is largest", (pane) => pane.go({ at: null })],
  [["z"], "only what the unit sees, or the whole picture", () => zoom()],
  [["g"], "Grad-CAM of the first class, or the picture", (pane) => pane.overview && pane.classOf(pane.wanted || !pane.overview.classes.length ? null : String(pane.overview.classes[0].class))],
  [["c"], "the other network, where there are two", () => activate((state.active + 1) % panes.length)],
  [["o"], "choose a picture", () => choose(open)],
  [["?"], "this list", () => $("keys").showModal()],
];

function zoom() {
  state.zoom = !state.zoom;
  panes.forEach((pane) => pane.frames());
}

function keys() {
  const signs = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
  $("keys").querySelector("table").append(...KEYS.map(([names, what]) => {
    const shown = names.flatMap((name) => [make("kbd", { textContent: signs[name] || name }), " "]);
    return make("tr", {}, make("td", {}, ...shown), make("td", { textContent: what }));
  }));
  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea, dialog");
    const key = (event.shiftKey && SHIFTED[event.key]) || event.key;
    const found = KEYS.find(([names]) => names.includes(key));
    if (!found || typing || event.ctrlKey || event.metaKey || event.altKey || !panes.length) return;
    event.preventDefault();
    found[2](panes[state.active], key);
  });
}

async function begin() {
  const told = await ask("networks");
  if (!told) return;
  Object.assign(state, { forms: told.searches, most: told.most, page: told.page, rules: told.rules });
  told.networks.forEach((net, i) => panes.push(new Pane(i, net)));
  const names = panes.map((pane) => JSON.stringify(pane.net.layers.map((layer) => [layer.name, layer.shape])));
  linked = names.length === 2 && names[0] === names[1];
  $("net").append(...panes.map((pane, i) => make("option", { value: i, textContent: pane.net.name })));
  $("by").hidden = panes.length < 2;
  fields();
  keys();
  dropping();
  const wanted = recall(), kept = wanted && (told.pictures.find((one) => one.id === wanted) || null);
  await show(kept || told.picture);
  if (told.going !== null) {
    $("make").click();
    follow(told.going);
  }
  setInterval(() => document.hidden || ask("alive"), 3000);
}

$("choose").onclick = () => choose(open);
$("style").onclick = () => choose(styled);
$("help").onclick = () => $("keys").showModal();
$("verb").onchange = fields;
$("form").onsubmit = (event) => {
  event.preventDefault();
  start();
};
$("make").onclick = () => {
  $("maker").hidden = !$("maker").hidden;
  $("make").setAttribute("aria-expanded", !$("maker").hidden);
};
begin();
