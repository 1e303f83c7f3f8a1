// The page: a label map that is painted, the picture of it, and their looks.
//
// page.json beside it says which model it draws with and which label maps it
// offers. In the address `?server=http://...` names a model server instead,
// `?model=` its model, `?backend=` what the model in the browser runs on.

import { BrowserModel, ServerModel } from "./drawing.js";
import { blank, classOf, paint, region, resize, stroke } from "./labels.js";
import { between, newLook, newLookInside } from "./looks.js";
import { decodeNumbers, encodeNumbers } from "./png.js";

const MOST_UNDONE = 100; // Steps.
const MANY_CLASSES = 30; // From so many on, one can be searched for.
const LARGEST = 1024; // Height and width of a label map that is loaded.

const find = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

let model = null;
let info = null; // The data set's.
let state = null; // { map, from, to, share }: looks at both ends of the way.
let undone = [];
let done = [];
let isDrawing = false;
let isStale = false; // Whether what is shown is older than the state.

// --- Messages -------------------------------------------------------------

function tell(text, isProgress = false) {
  find("message").textContent = text;
  find("message").hidden = !text;
  find("message").classList.toggle("progress", isProgress);
}

/** Runs what may go wrong; says so on the page. */
async function guarded(work) {
  try {
    await work();
  } catch (error) {
    tell(error.message);
  }
}

// --- The state ------------------------------------------------------------

const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

const isPerPixel = () => model.facts.noise === "pixel";

function freshLook({ width, height }) {
  return newLook(
    width * height, model.facts.noise_channels, isPerPixel(), randomSeed());
}

/** Takes up a new state, which can be undone. */
function change(next) {
  done.push(state);
  done.splice(0, done.length - MOST_UNDONE);
  undone = [];
  show(next);
}

function show(next) {
  state = next;
  find("share").value = 100 * state.share;
  find("undo").disabled = !done.length;
  find("redo").disabled = !undone.length;
  showMap();
  redraw();
}

function startWith(map) {
  const look = freshLook(map);
  const next = { map, from: look, to: look, share: 1 };
  if (state) change(next);
  else show(next);
}

function changeLook(makeLook) {
  const from = between(state.from, state.to, state.share);
  change({ ...state, from, to: makeLook(from), share: 1 });
}

// --- Drawing --------------------------------------------------------------

function showMap() {
  const { width, height, labels } = state.map;
  const canvas = find("map");
  for (const one of [canvas, find("overlay")]) {
    if (one.width === width && one.height === height) continue;
    [one.width, one.height] = [width, height];
  }
  const image = new ImageData(width, height);
  labels.forEach((label, i) =>
    image.data.set([...info.colors[label], 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Shows which pixels a stroke or the cursor covers. */
function showOverlay(mask, color = [255, 255, 255]) {
  const canvas = find("overlay");
  const image = new ImageData(canvas.width, canvas.height);
  mask?.forEach((isInside, i) => {
    if (isInside) image.data.set([...color, 140], 4 * i);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Draws the picture; while one is drawn, what comes is drawn after it. */
async function redraw() {
  isStale = true;
  if (isDrawing) return;
  isDrawing = true;
  try {
    while (isStale) {
      isStale = false;
      const look = between(state.from, state.to, state.share);
      const { image, milliseconds } = await model.draw(state.map, look);
      const canvas = find("picture");
      [canvas.width, canvas.height] = [image.width, image.height];
      canvas.getContext("2d").putImageData(image, 0, 0);
      find("status").textContent = milliseconds < 1000
        ? `${Math.round(milliseconds)} ms`
        : `${(milliseconds / 1000).toFixed(1)} s`;
      tell("");
    }
  } catch (error) {
    tell(error.message);
  } finally {
    isDrawing = false;
    document.body.dataset.drawn = Number(document.body.dataset.drawn || 0) + 1;
  }
}

// --- Tools ----------------------------------------------------------------

const chosen = (name) =>
  document.querySelector(`input[name=${name}]:checked`).value;
const brushSize = () => Number(find("size").value);

let painted = null; // The pixels of the stroke that is being made.
let last = null; // The pixel it has come to.

function begin([x, y]) {
  const tool = chosen("tool");
  const label = Number(chosen("class"));
  if (tool === "fill") {
    change({ ...state, map: paint(state.map, region(state.map, x, y), label) });
  } else if (tool === "pick") {
    pick(state.map.labels[y * state.map.width + x]);
  } else if (tool === "look-region" || tool === "look-class") {
    const choose = tool === "look-region" ? region : classOf;
    renew(choose(state.map, x, y));
  } else {
    painted = new Uint8Array(state.map.labels.length);
    last = [x, y];
    go([x, y]);
  }
}

/** Chooses a class, and the brush for it. */
function pick(label) {
  const input = document.querySelector(`input[name=class][value="${label}"]`);
  input.checked = true;
  input.closest("label").scrollIntoView({ block: "nearest" });
  document.querySelector("input[value=brush]").checked = true;
}

function renew(mask) {
  changeLook((look) => newLookInside(look, mask, isPerPixel(), randomSeed()));
}

function go(to) {
  stroke(state.map, last, to, brushSize()).forEach((isInside, i) => {
    if (isInside) painted[i] = 1;
  });
  last = to;
  const color = chosen("tool") === "brush"
    ? info.colors[Number(chosen("class"))] : [255, 255, 255];
  showOverlay(painted, color);
  // Live: the picture of the stroke so far.
  if (chosen("tool") === "brush") preview();
}

let previewed = null;

function preview() {
  previewed ??= state;
  const label = Number(chosen("class"));
  state = { ...previewed, map: paint(previewed.map, painted, label) };
  redraw();
}

function end() {
  if (!painted) return;
  const mask = painted;
  [painted, last] = [null, null];
  if (previewed) {
    [state, previewed] = [previewed, null];
  }
  showOverlay(null);
  if (chosen("tool") === "brush") {
    const label = Number(chosen("class"));
    change({ ...state, map: paint(state.map, mask, label) });
  } else {
    renew(mask);
  }
}

function pixelOf(event) {
  const box = find("map").getBoundingClientRect();
  const at = (offset, length, count) =>
    Math.max(0, Math.min(count - 1, Math.floor((offset / length) * count)));
  return [
    at(event.clientX - box.left, box.width, state.map.width),
    at(event.clientY - box.top, box.height, state.map.height),
  ];
}

function listenToPointer() {
  const canvas = find("map");
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || painted) return;
    canvas.setPointerCapture(event.pointerId);
    begin(pixelOf(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = pixelOf(event);
    const label = state.map.labels[y * state.map.width + x];
    find("hovered").textContent = info.class_names[label];
    if (painted) {
      for (const one of event.getCoalescedEvents?.() || []) go(pixelOf(one));
      go([x, y]);
    }
  });
  for (const kind of ["pointerup", "pointercancel"])
    canvas.addEventListener(kind, end);
  canvas.addEventListener("pointerleave", () => {
    find("hovered").textContent = "";
  });
}

const SHORTCUTS = {
  b: "brush", f: "fill", p: "pick", l: "look-drawn", r: "look-region",
  c: "look-class",
};
const STEPS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};

function listenToKeys() {
  let cursor = null;
  const canvas = find("map");
  canvas.addEventListener("keydown", (event) => {
    const { width, height } = state.map;
    cursor ??= [width >> 1, height >> 1];
    const step = STEPS[event.key];
    if (step) {
      const stride = event.shiftKey ? 8 : 1;
      cursor = [
        Math.max(0, Math.min(width - 1, cursor[0] + stride * step[0])),
        Math.max(0, Math.min(height - 1, cursor[1] + stride * step[1])),
      ];
      if (painted) go(cursor);
    } else if (event.key === " ") {
      if (!painted) begin(cursor);
    } else {
      return;
    }
    event.preventDefault();
    if (!painted) showOverlay(stroke(state.map, cursor, cursor, brushSize()));
  });
  canvas.addEventListener("keyup", (event) => {
    if (event.key === " ") end();
  });
  canvas.addEventListener("blur", () => {
    end();
    showOverlay(null);
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("select, input:not([type=radio])")) return;
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") event.shiftKey ? redo() : undo();
      else if (key === "y") redo();
      else return;
      event.preventDefault();
    } else if (key === "n" && model.facts.noise_channels) {
      changeLook(() => freshLook(state.map));
    } else if (key === "[" || key === "]") {
      find("size").value = brushSize() + (key === "[" ? -1 : 1);
      showSize();
    } else if (SHORTCUTS[key]) {
      const input = document.querySelector(`[value=${SHORTCUTS[key]}]`);
      if (input.offsetParent) input.checked = true;
    }
  });
}

function undo() {
  if (!done.length) return;
  undone.push(state);
  show(done.pop());
}

function redo() {
  if (!undone.length) return;
  done.push(state);
  show(undone.pop());
}

// --- Files ----------------------------------------------------------------

/** Returns the label map of a file in the data set's own ids. */
async function readMap(file, name) {
  const { width, height, values } = await decodeNumbers(file);
  const labels = values.map((id) => info.label_of_id[id] ?? 65535);
  const wrong = [...new Set(values.filter((id) => !(id in info.label_of_id)))];
  if (wrong.length)
    throw new Error(
      `${name} must hold the ids of ${info.name}. Received: ` +
        `${wrong.slice(0, 5).join(", ")}.`);
  const multiple = model.facts.size_multiple;
  const scale = Math.min(1, LARGEST / Math.max(width, height));
  const fit = (length) =>
    Math.max(multiple, Math.round((length * scale) / multiple) * multiple);
  return resize({ width, height, labels }, fit(width), fit(height));
}

async function saveMap() {
  const idOf = [];
  // The smallest id of each label.
  for (const [id, label] of Object.entries(info.label_of_id))
    idOf[label] = Math.min(id, idOf[label] ?? Infinity);
  const { width, height, labels } = state.map;
  const without = [...new Set(labels)].find((label) => idOf[label] === undefined);
  if (without !== undefined)
    throw new Error(
      `No id of ${info.name} stands for ${info.class_names[without]}.`);
  const values = labels.map((label) => idOf[label]);
  const bytes = await encodeNumbers({ width, height, values });
  save(new Blob([bytes], { type: "image/png" }), "label_map.png");
}

async function savePicture() {
  const blob = await new Promise((resolve) =>
    find("picture").toBlob(resolve, "image/png"));
  save(blob, "picture.png");
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// --- The start ------------------------------------------------------------

/** Three bands, where there is no example. */
function bands() {
  const [height, width] = model.facts.image_size;
  const first = info.has_dont_care ? 1 : 0;
  const count = info.class_names.length - first;
  const map = blank(width, height, first);
  map.labels = map.labels.map((_, i) =>
    first + Math.floor((3 * Math.floor(i / width)) / height) % count);
  return map;
}

function showSize() {
  find("size-shown").textContent = `${find("size").value} px`;
}

function showClasses() {
  const list = find("classes");
  const first = info.has_dont_care ? 1 : 0;
  // Don't-care comes last: nobody starts with it.
  const labels = [...info.class_names.keys()];
  if (first) labels.push(labels.shift());
  for (const label of labels) {
    const item = document.createElement("label");
    const input = document.createElement("input");
    const text = document.createElement("span");
    const swatch = document.createElement("i");
    Object.assign(input, {
      type: "radio", name: "class", value: label, checked: label === first,
    });
    swatch.style.background = `rgb(${info.colors[label]})`;
    text.append(swatch, info.class_names[label]);
    item.append(input, text);
    list.append(item);
  }
  find("filter").hidden = labels.length < MANY_CLASSES;
}

function filterClasses() {
  const text = find("filter").value.trim().toLowerCase();
  for (const item of document.querySelectorAll("#classes label"))
    item.hidden = !item.textContent.toLowerCase().includes(text);
}

function showExamples(examples) {
  const select = find("examples");
  const names = ["blank", ...examples.map((_, i) => `example ${i + 1}`)];
  select.replaceChildren(
    new Option("choose...", ""),
    ...names.map((name, i) => new Option(name, i)));
  select.addEventListener("change", () => guarded(async () => {
    if (select.value === "") return;
    const i = Number(select.value);
    const [height, width] = model.facts.image_size;
    startWith(i === 0
      ? blank(width, height, Number(chosen("class")))
      : await fetchMap(examples[i - 1]));
    select.value = "";
  }));
}

async function fetchMap(address) {
  const response = await fetch(address);
  if (!response.ok)
    throw new Error(`${address} must be there. Received: HTTP ${response.status}.`);
  return readMap(new Uint8Array(await response.arrayBuffer()), address);
}

function describeRuntime() {
  const parts = [`Drawn by ${model.backend}.`];
  if (model.difference !== undefined)
    parts.push(
      "Differs from the network by at most " +
        `${model.difference} of 255 levels.`);
  if (model.missing?.length)
    parts.push(`Not available: ${model.missing.join("; ")}.`);
  find("runtime").textContent = parts.join(" ");
}

async function loadModel(page) {
  const server = query.get("server");
  if (server) {
    find("backends-label").hidden = true;
    return ServerModel.load(server, query.get("model") || "generator");
  }
  const backend = query.get("backend") || "auto";
  find("backends").value = backend;
  return BrowserModel.load(page.model, backend, (text) => tell(text, true));
}

async function start() {
  const response = await fetch("page.json");
  if (!response.ok)
    throw new Error(
      "page.json must be beside this page, as `python -m oasis_tf.demo_page` " +
        `writes it. Received: HTTP ${response.status}.`);
  const page = await response.json();
  tell("Loading...", true);
  model = await loadModel(page);
  info = model.facts.dataset_info;
  document.body.classList.toggle("no-noise", !model.facts.noise_channels);
  showClasses();
  showExamples(page.examples);
  describeRuntime();
  const [height] = model.facts.image_size;
  find("size").max = Math.max(8, height >> 1);
  find("size").value = Math.max(2, height >> 3);
  showSize();
  startWith(page.examples.length ? await fetchMap(page.examples[0]) : bands());
  listenToPointer();
  listenToKeys();
  find("app").hidden = false;
}

find("size").addEventListener("input", showSize);
find("filter").addEventListener("input", filterClasses);
find("share").addEventListener("input", () => {
  state = { ...state, share: Number(find("share").value) / 100 };
  redraw();
});
find("new-look").addEventListener("click", () =>
  changeLook(() => freshLook(state.map)));
find("undo").addEventListener("click", undo);
find("redo").addEventListener("click", redo);
find("save-map").addEventListener("click", () => guarded(saveMap));
find("save-picture").addEventListener("click", () => guarded(savePicture));
find("load").addEventListener("change", () => guarded(async () => {
  const [file] = find("load").files;
  if (!file) return;
  startWith(await readMap(new Uint8Array(await file.arrayBuffer()), file.name));
  find("load").value = "";
}));
find("backends").addEventListener("change", () => {
  query.set("backend", find("backends").value);
  location.search = query;
});

guarded(start);
