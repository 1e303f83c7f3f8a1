// What draws: a model in this browser, in a worker, or a server over REST.
//
// Both have `facts` (see oasis.json), `backend`, `draw(map, look)` and
// `close()`; draw resolves to { image: ImageData, milliseconds }.

const SECONDS_PER_CALL = 120;

/** Draws with a TensorFlow.js model in a worker: the page stays quick. */
export class BrowserModel {
  /**
   * @param {string} address of the model's folder.
   * @param {string} backend "webgpu", "webgl", "wasm", or "auto".
   * @param {(text: string) => void} progress
   */
  static async load(address, backend, progress) {
    const model = new BrowserModel();
    model.progress = progress;
    model.worker = new Worker(new URL("worker.js", import.meta.url));
    model.waiting = new Map();
    model.numAsked = 0;
    model.worker.onmessage = ({ data }) => model.receive(data);
    model.worker.onerror = (event) =>
      model.fail(new Error(event.message || "The worker does not start."));
    const url = new URL(address, location.href).href;
    try {
      const loaded = await model.ask("load", { address: url, backend });
      return Object.assign(model, loaded);
    } catch (error) {
      model.close();
      throw error;
    }
  }

  async draw({ width, height, labels }, { placeMap, vectors }) {
    const channels = vectors[0].length;
    const z = new Float32Array(vectors.length * channels);
    vectors.forEach((vector, i) => z.set(vector, i * channels));
    const { pixels, milliseconds } = await this.ask("draw", {
      width, height, labels: Int32Array.from(labels), placeMap, z,
      numPlaces: vectors.length,
    });
    return { image: new ImageData(pixels, width, height), milliseconds };
  }

  ask(kind, content) {
    const id = this.numAsked++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, kind, ...content });
    });
  }

  receive({ id, result, error, progress }) {
    if (progress) return this.progress(progress);
    if (!this.waiting.has(id)) return; // Given up.
    const { resolve, reject } = this.waiting.get(id);
    this.waiting.delete(id);
    return error ? reject(new Error(error)) : resolve(result);
  }

  fail(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  close() {
    this.worker.terminate();
    this.fail(new Error("The model was closed."));
  }
}

/** Draws with a model server, over TensorFlow Serving's REST API. */
export class ServerModel {
  /**
   * @param {string} server its address: "http://127.0.0.1:8501".
   * @param {string} name of the model there.
   */
  static async load(server, name) {
    const model = new ServerModel();
    if (!/^https?:\/\//.test(server))
      throw new Error(
        "The server must be given as http://host:8501. Received: " +
          `${server}.`);
    model.server = server.replace(/\/+$/, "");
    const path = `/v1/models/${encodeURIComponent(name)}:predict`;
    model.address = model.server + path;
    const [info, facts, signatures] = (await model.ask({
      signature_name: "describe",
      inputs: ["dataset_info", "model", "signatures"],
    })).outputs.map((text) => JSON.parse(text));
    if (facts.kind !== "generator")
      throw new Error(
        `${name} on ${server} is no generator, but a ${facts.kind}.`);
    if (facts.noise_channels && !signatures.synthesize_places)
      throw new Error(
        `${name} on ${server} was exported before it could draw places: ` +
          "export it again.");
    model.facts = { ...facts, dataset_info: info };
    model.backend = `server ${model.server}`;
    return model;
  }

  async draw({ width, height, labels }, { placeMap, vectors }) {
    const start = performance.now();
    const rows = (values) => Array.from({ length: height }, (_, y) =>
      Array.from(values.subarray(y * width, (y + 1) * width)));
    const instance = { label_map: rows(labels) };
    let signature_name = "synthesize";
    if (this.facts.noise_channels) {
      signature_name = "synthesize_places";
      instance.z = vectors.map((vector) => Array.from(vector));
      instance.place_map = rows(placeMap);
    } else {
      instance.seed = 0;
    }
    const answer = await this.ask({ signature_name, instances: [instance] });
    const image = new ImageData(width, height);
    let at = 0;
    for (const [red, green, blue] of answer.predictions[0].flat()) {
      image.data.set([red, green, blue, 255], at);
      at += 4;
    }
    return { image, milliseconds: performance.now() - start };
  }

  async ask(body) {
    let response;
    try {
      response = await fetch(this.address, {
        method: "POST",
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(1000 * SECONDS_PER_CALL),
      });
    } catch (error) {
      // A browser tells a page no more of this.
      throw new Error(
        `${this.server} does not answer this page (${error.message}). It must ` +
          "run, and let pages of other sites ask: " +
          "--rest_api_enable_cors_support.");
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok)
      throw new Error(answer.error || `${this.server}: HTTP ${response.status}`);
    return answer;
  }

  close() {}
}
