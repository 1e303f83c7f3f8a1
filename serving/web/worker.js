// Runs the TensorFlow.js model away from the page. A classic worker: the
// libraries are scripts that put themselves into `tf`.
"use strict";

importScripts("vendor/tf-core.js", "vendor/tf-converter.js");

const BACKENDS = ["webgpu", "webgl", "wasm"]; // The quicker one first.
const MOST_LEVELS = 16; // Of 255; beyond, a back end computes something else.
let model = null;
let facts = null;

self.onmessage = async ({ data }) => {
  try {
    const work = { load, draw }[data.kind];
    self.postMessage({ id: data.id, result: await work(data) });
  } catch (error) {
    self.postMessage({ id: data.id, error: error.message || String(error) });
  }
};

const say = (progress) => self.postMessage({ progress });

async function load({ address, backend }) {
  const folder = address.replace(/\/*$/, "/");
  facts = await readJson(`${folder}oasis.json`);
  const files = await readFiles(folder, facts.files);
  const checked = parse(files, "check.json");
  const missing = [];
  for (const name of backend === "auto" ? BACKENDS : [backend]) {
    try {
      await start(name, backend === "auto");
      await loadGraph(files);
      say("Comparing it with the network...");
      const difference = await check(checked);
      if (!(difference <= MOST_LEVELS))
        throw new Error(`it is ${difference} of 255 levels off`);
      return { facts, backend: name, missing, difference };
    } catch (error) {
      missing.push(`${name}: ${error.message}`);
    }
  }
  throw new Error(
    `This browser cannot run the model. ${missing.join("; ")}.`);
}

async function loadGraph(files) {
  model?.dispose();
  const topology = parse(files, "model.json");
  const manifest = topology.weightsManifest;
  model = await tf.loadGraphModel(tf.io.fromMemory({
    modelTopology: topology.modelTopology,
    format: topology.format,
    signature: topology.signature,
    weightSpecs: manifest.flatMap((group) => group.weights),
    weightData: await new Blob(manifest.flatMap((group) =>
      group.paths.map((path) => files.get(path)))).arrayBuffer(),
  }));
}

async function readJson(address) {
  const response = await fetch(address, { cache: "no-cache" });
  if (!response.ok)
    throw new Error(
      `${address} must be there. Received: HTTP ${response.status}.`);
  try {
    return await response.json();
  } catch {
    throw new Error(`${address} must be JSON, as the export wrote it.`);
  }
}

/** Returns the files of a model by their names, each as it was exported. */
async function readFiles(folder, sums) {
  const files = new Map();
  const total = Object.values(sums).reduce((sum, f) => sum + f.num_bytes, 0);
  let loaded = 0;
  for (const [name, { num_bytes: expected, sha256 }] of Object.entries(sums)) {
    const response = await fetch(folder + name, { cache: "no-cache" });
    if (!response.ok)
      throw new Error(
        `${folder}${name} must be there. Received: HTTP ${response.status}.`);
    const bytes = await response.arrayBuffer();
    if (bytes.byteLength !== expected)
      throw new Error(
        `${folder}${name} must have ${expected} bytes. Received: ` +
          `${bytes.byteLength}. Export the model again.`);
    // Only secure pages have it; localhost is one.
    if (self.crypto?.subtle) {
      const sum = await crypto.subtle.digest("SHA-256", bytes);
      const text = Array.from(new Uint8Array(sum), (byte) =>
        byte.toString(16).padStart(2, "0")).join("");
      if (text !== sha256)
        throw new Error(
          `${folder}${name} is not what was exported: its SHA-256 differs. ` +
            "Export the model again.");
    }
    files.set(name, bytes);
    loaded += expected;
    say(`Loading the model: ${Math.round((100 * loaded) / total)} %`);
  }
  return files;
}

const parse = (files, name) =>
  JSON.parse(new TextDecoder().decode(files.get(name)));

/** Starts a back end; one of the processor's own is better than none. */
async function start(name, hasChoice) {
  if (!BACKENDS.includes(name))
    throw new Error(`it must be one of ${BACKENDS.join(", ")}`);
  say(`Starting ${name}...`);
  if (name === "webgpu" && !(await navigator.gpu?.requestAdapter()))
    throw new Error("this browser has none");
  if (name === "webgl" && hasChoice && isSoftware())
    throw new Error("this browser draws it in software");
  try {
    importScripts(`vendor/tf-backend-${name}.js`);
  } catch (error) {
    throw new Error(
      `vendor/tf-backend-${name}.js cannot be used: build the page again`);
  }
  if (name === "wasm") tf.wasm.setWasmPaths(new URL("vendor/", location).href);
  if (!(await tf.setBackend(name))) throw new Error("it does not start");
  await tf.ready();
}

/** Returns whether WebGL is the processor's work, at which WASM is better. */
function isSoftware() {
  const context = new OffscreenCanvas(1, 1).getContext("webgl2");
  const extension = context?.getExtension("WEBGL_debug_renderer_info");
  const renderer = extension
    ? context.getParameter(extension.UNMASKED_RENDERER_WEBGL) : "";
  return /swiftshader|llvmpipe|software|basic render/i.test(renderer);
}

/** Returns the pixels of a picture, [H, W, 3], as a flat array. */
async function run(inputs) {
  const [signature] = Object.values(facts.signatures);
  const names = Object.keys(signature.inputs);
  const tensors = {};
  for (const { name } of model.inputs) {
    const key = names.find((n) => name.split(":")[0] === n);
    tensors[name] = inputs[key];
  }
  try {
    const output = model.execute(tensors);
    const pixels = await output.data();
    output.dispose();
    return pixels;
  } finally {
    Object.values(inputs).forEach((tensor) => tensor.dispose());
  }
}

async function draw({ width, height, labels, placeMap, z, numPlaces }) {
  const start = performance.now();
  const shape = [1, height, width];
  const inputs = { label_map: tf.tensor(labels, shape, "int32") };
  if (facts.noise_channels) {
    inputs.z = tf.tensor(z, [1, numPlaces, facts.noise_channels], "float32");
    inputs.place_map = tf.tensor(placeMap, shape, "int32");
  }
  const values = await run(inputs);
  const pixels = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = values[3 * i + c];
  return { pixels, milliseconds: performance.now() - start };
}

/** Returns the largest difference from the network's picture, in levels. */
async function check({ inputs, image }) {
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, { dtype, shape, values }]) => [
      name, tf.tensor(values, shape, dtype),
    ]));
  const values = await run(tensors);
  const expected = Uint8Array.from(atob(image), (c) => c.charCodeAt(0));
  return values.reduce((largest, value, i) =>
    Math.max(largest, Math.abs(value - expected[i])), 0);
}
