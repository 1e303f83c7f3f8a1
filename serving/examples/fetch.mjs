// Draws a label map with a model server, in Node 18 or newer and in browsers.
//
//     node serving/examples/fetch.mjs http://localhost:8501 map.png 3 image.png
//
// Arguments: the server's REST address, a label map (a PNG file in the ids of
// the data set's files), a seed (each whole number from 0 is another look), the
// file to write the picture to. In a page:
//
//     import { synthesize } from "./fetch.mjs";
//     const file = new Uint8Array(await input.files[0].arrayBuffer());
//     const png = await synthesize("http://localhost:8501", file, 3);
//     img.src = URL.createObjectURL(new Blob([png], { type: "image/png" }));
//
// A page from elsewhere may ask only a server that was started with
// --rest_api_enable_cors_support.

/** Returns the picture, a PNG file's bytes, of a label map's. */
export async function synthesize(server, labelMap, seed) {
  // The request is JSON. "signature_name" says which of the model's functions
  // is asked, "instances" lists the examples to run it on: here one. JSON has
  // no bytes, so files are written as {"b64": "<base64>"}. The seed is put in
  // as text, for numbers of JavaScript are exact only up to 2^53.
  const file = JSON.stringify({ b64: toBase64(labelMap) });
  const body = `{"signature_name": "synthesize_png", "instances": [
    {"label_map_bytes": ${file}, "seed": ${BigInt(seed)}}]}`;
  // The last part of the address is the model's name and ":predict".
  const response = await fetch(`${server}/v1/models/generator:predict`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
    signal: AbortSignal.timeout(60_000),
  });
  const text = await response.text();
  if (!response.ok) {
    // {"error": "..."}, if it is the server and not something before it.
    throw new Error(`HTTP ${response.status}: ${text}`);
  }
  // {"predictions": [{"b64": "<base64>"}]}: one entry for each instance.
  return fromBase64(JSON.parse(text).predictions[0].b64);
}

function toBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

async function main() {
  const { readFile, writeFile } = await import("node:fs/promises");
  const [server, labelMap, seed, output] = process.argv.slice(2);
  if (process.argv.length !== 6) {
    throw new Error("Usage: fetch.mjs SERVER LABEL_MAP SEED OUTPUT");
  }
  const file = await readFile(labelMap);
  await writeFile(output, await synthesize(server, file, seed));
}

// Not where another module or a page imports this one.
if (globalThis.process?.argv?.[1]?.endsWith("fetch.mjs")) {
  main().catch((error) => {
    // A cause has what fetch did not reach; it has no words of its own for
    // several addresses.
    console.error(error.cause?.message || error.cause?.code || error.message);
    process.exitCode = 1;
  });
}
