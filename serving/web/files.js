// Files of label maps in the data set's own ids, and what is saved.

import { resize } from "./labels.js";
import { decodeNumbers, encodeNumbers } from "./png.js";

const LARGEST = 1024; // Height and width of a label map that is loaded.

/**
 * Returns the label map of a file.
 *
 * @param {Uint8Array} file
 * @param {string} name of it, for what is told.
 * @param info the data set's.
 * @returns {Promise<{width, height, labels: Uint16Array}>}
 */
export async function readMap(file, name, info) {
  let image;
  try {
    image = await decodeNumbers(file);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
  const { width, height, values } = image;
  const wrong = [...new Set(values)].filter((id) => !(id in info.label_of_id));
  if (wrong.length)
    throw new Error(
      `${name} must hold the ids of ${info.name}. Received: ` +
        `${wrong.slice(0, 5).join(", ")}.`);
  return { width, height, labels: values.map((id) => info.label_of_id[id]) };
}

/** Returns a label map in a size that the network works in. */
export function fitted(map, multiple) {
  const scale = Math.min(1, LARGEST / Math.max(map.width, map.height));
  const fit = (length) =>
    Math.max(multiple, Math.round((length * scale) / multiple) * multiple);
  return resize(map, fit(map.width), fit(map.height));
}

/** Returns a PNG file of a label map, as a Blob. */
export async function mapFile({ width, height, labels }, info) {
  const ids = idsOfLabels(info);
  const without = [...new Set(labels)].find((label) => !(label in ids));
  if (without !== undefined)
    throw new Error(
      `No id of ${info.name} stands for ${info.class_names[without]}.`);
  const values = labels.map((label) => ids[label]);
  const bytes = await encodeNumbers({ width, height, values });
  return new Blob([bytes], { type: "image/png" });
}

/** Returns the smallest id of each label that has one. */
function idsOfLabels(info) {
  const ids = {};
  for (const [text, label] of Object.entries(info.label_of_id)) {
    const id = Number(text);
    if (id >= 0) ids[label] = Math.min(id, ids[label] ?? Infinity);
  }
  return ids;
}

/** Hands a file to the user. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
