// The page: a label map that is painted, the picture of it, and their looks.
//
// page.json beside it says which model it draws with and which label maps it
// offers. In the address `?server=http://...` names a model server instead,
// `?model=` its model, `?backend=` what the model in the browser runs on.

import { BrowserModel, ServerModel } from "./drawing.js";
import { fitted, mapFile, readMap, save } from "./files.js";
import { blank, classOf, paint, region, stroke } from "./labels.js";
import { between, newLook, newLookInside } from "./looks.js";

const MOST_UNDONE = 100; // Steps.
const MOST_BYTES_UNDONE = 2 ** 28; // Noise of every pixel is large.
const SOON = 300; // Milliseconds; a picture that takes longer is announced.
const MANY_CLASSES = 30; // From so many on, one can be searched for.

const find = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

let model = null;
let info = null; // The data set's.
let state = null; // { map, from, to, share }: looks at both ends of the way.
let gesture = null; // What a finger, the mouse or the space bar is doing.
let undone = [];
let done = [];
let isDrawing = false;
let isStale = false; // Whether what is shown is older than the state.
let isOfDrawing = true; // Whether the message goes with the next picture.

// --- Messages -------------------------------------------------------------

function tell(text, isProgress = false) {
  find("message").textContent = text;
  find("message").hidden = !text;
  find("message").classList.toggle("progress", isProgress);
  // On a phone the buttons below are far from it.
  if (text && !isProgress) find("message").scrollIntoView({ block: "nearest" });
}

/** Runs what may go wrong; says so on the page. */
async function guarded(work) {
  try {
    await work();
  } catch (error) {
    tell(error.message);
    isOfDrawing = false;
  }
}

// --- The state ------------------------------------------------------------

const randomSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

const isPerPixel = () => model.facts.noise === "pixel";

function freshLook({ width, height }) {
  return newLook(
    width * height, model.facts.noise_channels, isPerPixel(), randomSeed());
}

const numBytes = ({ map, from, to }) =>
  map.labels.byteLength + [from, to].reduce((sum, { placeMap, vectors }) =>
    sum + placeMap.byteLength + vectors.length * vectors[0].byteLength, 0);

/** Takes up a new state, which can be undone. */
function change(next) {
  done.push(state);
  const most = Math.min(MOST_UNDONE, MOST_BYTES_UNDONE / numBytes(state));
  done.splice(0, Math.max(0, done.length - Math.max(1, Math.floor(most))));
  undone = [];
  show(next);
}

function show(next) {
  state = next;
  find("share").value = 100 * state.share;
  find("share").disabled = state.from === state.to;
  find("undo").disabled = !done.length;
  find("redo").disabled = !undone.length;
  showMap();
  redraw();
}

/** Returns the state that a map begins with: one fresh look. */
function stateOf(map) {
  const look = freshLook(map);
  return { map, from: look, to: look, share: 1 };
}

function startWith(map) {
  end();
  tell("");
  if (state) change(stateOf(map));
  else show(stateOf(map));
}

function changeLook(makeLook) {
  end();
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

/** Returns the label map with the stroke that is being made. */
function mapSoFar() {
  if (gesture?.tool !== "brush") return state.map;
  return paint(state.map, gesture.painted, gesture.label);
}

/** Draws the picture; while one is drawn, what comes is drawn after it. */
async function redraw() {
  isStale = true;
  if (isDrawing) return;
  isDrawing = true;
  find("save-picture").disabled = true;
  const soon = setTimeout(() => {
    find("status").textContent = "drawing...";
  }, SOON);
  while (isStale) {
    isStale = false;
    try {
      const look = between(state.from, state.to, state.share);
      const { image, milliseconds } = await model.draw(mapSoFar(), look);
      const canvas = find("picture");
      [canvas.width, canvas.height] = [image.width, image.height];
      canvas.getContext("2d").putImageData(image, 0, 0);
      find("status").textContent = milliseconds < 1000
        ? `${Math.round(milliseconds)} ms`
        : `${(milliseconds / 1000).toFixed(1)} s`;
      if (isOfDrawing) tell("");
      isOfDrawing = false;
    } catch (error) {
      tell(error.message);
      isOfDrawing = true;
    }
  }
  clearTimeout(soon);
  isDrawing = false;
  find("save-picture").disabled = false;
  document.body.dataset.drawn = Number(document.body.dataset.drawn || 0) + 1;
}

// --- Tools ----------------------------------------------------------------

const chosen = (name) =>
  document.querySelector(`input[name=${name}]:checked`).value;
const brushSize = () => Number(find("size").value);

/** Uses the tool at a pixel; a stroke goes on until `end`. */
function begin([x, y], pointer) {
  end();
  tell("");
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
    const painted = new Uint8Array(state.map.labels.length);
    gesture = { tool, label, pointer, painted, last: [x, y] };
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

function renewAll() {
  changeLook(() => freshLook(state.map));
}

function renew(mask) {
  changeLook((look) => newLookInside(look, mask, isPerPixel(), randomSeed()));
}

function go(to) {
  const { tool, label, painted, last } = gesture;
  stroke(state.map, last, to, brushSize()).forEach((isInside, i) => {
    if (isInside) painted[i] = 1;
  });
  gesture.last = to;
  showOverlay(painted, tool === "brush" ? info.colors[label] : undefined);
  if (tool === "brush") redraw(); // Live: the stroke so far.
}

/** Ends a stroke, where there is one. */
function end() {
  if (!gesture) return;
  const { tool, label, painted } = gesture;
  cancel();
  if (tool === "brush")
    change({ ...state, map: paint(state.map, painted, label) });
  else renew(painted);
}

/** Forgets a stroke; returns whether there was one. */
function cancel() {
  if (!gesture) return false;
  gesture = null;
  showOverlay(null);
  return true;
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
  const isOurs = (event) => gesture && gesture.pointer === event.pointerId;
  canvas.addEventListener("pointerdown", (event) => {
    // A second finger does nothing.
    if (event.button !== 0 || gesture) return;
    canvas.setPointerCapture(event.pointerId);
    begin(pixelOf(event), event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = pixelOf(event);
    const label = state.map.labels[y * state.map.width + x];
    find("hovered").textContent = info.class_names[label];
    if (isOurs(event)) {
      for (const one of event.getCoalescedEvents?.() || []) go(pixelOf(one));
      go([x, y]);
    }
  });
  canvas.addEventListener("pointerup", (event) => {
    if (isOurs(event)) end();
  });
  // The browser has taken the finger for something else.
  canvas.addEventListener("pointercancel", (event) => {
    if (isOurs(event) && cancel()) redraw();
  });
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
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { width, height } = state.map;
    const inside = ([x, y]) => [
      Math.max(0, Math.min(width - 1, x)), Math.max(0, Math.min(height - 1, y)),
    ];
    // The map may be another one than before.
    cursor = inside(cursor ?? [width >> 1, height >> 1]);
    const step = STEPS[event.key];
    if (step) {
      const stride = event.shiftKey ? 8 : 1;
      cursor = inside(cursor.map((at, i) => at + stride * step[i]));
      if (gesture) go(cursor);
    } else if (event.key === " ") {
      if (!event.repeat && !gesture) begin(cursor, "keyboard");
    } else {
      return;
    }
    event.preventDefault();
    if (!gesture) showOverlay(stroke(state.map, cursor, cursor, brushSize()));
  });
  canvas.addEventListener("keyup", (event) => {
    if (event.key === " " && gesture?.pointer === "keyboard") end();
  });
  canvas.addEventListener("blur", () => {
    if (gesture?.pointer === "keyboard") end();
    if (!gesture) showOverlay(null);
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("select, input[type=search]")) return;
    const key = event.key.toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (key === "z") event.shiftKey ? redo() : undo();
      else if (key === "y") redo();
      else return;
      event.preventDefault();
    } else if (event.altKey || event.repeat) {
      return;
    } else if (key === "escape") {
      if (cancel()) redraw();
    } else if (key === "n" && model.facts.noise_channels) {
      renewAll();
    } else if (key === "[" || key === "]") {
      find("size").value = brushSize() + (key === "[" ? -1 : 1);
      showSize();
    } else if (SHORTCUTS[key]) {
      const input = document.querySelector(`[value=${SHORTCUTS[key]}]`);
      if (input.offsetParent) input.checked = true;
    }
  });
}

/** Forgets the stroke that is being made, or else goes a step back. */
function undo() {
  if (cancel()) return redraw();
  if (!done.length) return;
  undone.push(state);
  show(done.pop());
}

function redo() {
  if (cancel()) return redraw();
  if (!undone.length) return;
  done.push(state);
  show(undone.pop());
}

// --- Files ----------------------------------------------------------------

/** Starts with the label map of a file in the data set's own ids. */
async function startWithFile(file, name) {
  const read = await readMap(file, name, info);
  const map = fitted(read, model.facts.size_multiple);
  startWith(map);
  if (map !== read)
    tell(`${name} has ${read.width} x ${read.height} pixels: it was brought ` +
      `to ${map.width} x ${map.height}.`, true);
}

async function saveMap() {
  save(await mapFile(state.map, info), "label_map.png");
}

async function savePicture() {
  const blob = await new Promise((resolve) =>
    find("picture").toBlob(resolve, "image/png"));
  save(blob, "picture.png");
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
  list.querySelectorAll("label").forEach((old) => old.remove());
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
  const [height, width] = model.facts.image_size;
  const names = ["blank", ...examples.map((_, i) => `example ${i + 1}`)];
  select.replaceChildren(
    new Option("choose...", ""),
    ...names.map((name, i) => new Option(name, i)));
  select.onchange = () => guarded(async () => {
    const { value } = select;
    // What is chosen again comes again.
    select.value = "";
    if (value === "") return;
    if (value === "0") startWith(blank(width, height, Number(chosen("class"))));
    else await startWithExample(examples[value - 1]);
  });
}

async function startWithExample(address) {
  const response = await fetch(address, { cache: "no-cache" });
  if (!response.ok)
    throw new Error(
      `${address} must be there. Received: HTTP ${response.status}.`);
  await startWithFile(new Uint8Array(await response.arrayBuffer()), address);
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

async function loadModel(page, backend) {
  const progress = (text) => tell(text, true);
  progress("Loading...");
  const server = query.get("server");
  const loaded = server
    ? await ServerModel.load(server, query.get("model") || "generator")
    : await BrowserModel.load(page.model, backend, progress);
  model?.close();
  model = loaded;
  describeRuntime();
}

/** Draws with another back end; what is painted stays. */
async function changeBackend(page) {
  const backend = find("backends").value;
  query.set("backend", backend);
  history.replaceState(null, "", `?${query}`);
  await loadModel(page, backend);
  isOfDrawing = true;
  if (!state) return openWith(page);
  await redraw();
}

async function start() {
  const response = await fetch("page.json", { cache: "no-cache" });
  if (!response.ok)
    throw new Error(
      "page.json must be beside this page, as `python -m oasis_tf.demo_page` " +
        `writes it. Received: HTTP ${response.status}.`);
  const page = await response.json().catch(() => {
    throw new Error(
      "page.json must be JSON, as `python -m oasis_tf.demo_page` writes it.");
  });
  const backend = query.get("backend") || "auto";
  if (!query.has("server")) {
    find("backends").value = backend;
    find("backends-label").hidden = false;
    find("backends").addEventListener(
      "change", () => guarded(() => changeBackend(page)));
  }
  await loadModel(page, backend);
  await openWith(page);
}

/** Shows what there is to do with the model. */
async function openWith(page) {
  info = model.facts.dataset_info;
  // A server may have a model of another data set than this page's.
  const examples = info.name === page.dataset ? page.examples : [];
  document.body.classList.toggle("no-noise", !model.facts.noise_channels);
  showClasses();
  showExamples(examples);
  const [height] = model.facts.image_size;
  find("size").max = Math.max(8, height >> 1);
  find("size").value = Math.max(2, height >> 3);
  showSize();
  if (examples.length) await guarded(() => startWithExample(examples[0]));
  // Not `startWith`, which would take back what is wrong with the example.
  if (!state) show(stateOf(bands()));
  // Once, should another back end have been chosen meanwhile.
  if (!find("app").hidden) return;
  listenToPointer();
  listenToKeys();
  find("app").hidden = find("keys").hidden = false;
}

find("size").addEventListener("input", showSize);
find("filter").addEventListener("input", filterClasses);
find("share").addEventListener("input", () => {
  end();
  state = { ...state, share: Number(find("share").value) / 100 };
  redraw();
});
find("new-look").addEventListener("click", renewAll);
find("undo").addEventListener("click", undo);
find("redo").addEventListener("click", redo);
find("save-map").addEventListener("click", () => guarded(saveMap));
find("save-picture").addEventListener("click", () => guarded(savePicture));
find("load").addEventListener("change", () => guarded(async () => {
  const [file] = find("load").files;
  if (!file) return;
  const bytes = new Uint8Array(await file.arrayBuffer());
  // The same name again, mended, is a change, too.
  find("load").value = "";
  await startWithFile(bytes, file.name);
}));

guarded(start);
