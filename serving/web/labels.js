// Label maps: painting them, and their regions.
//
// A label map is { width, height, labels }: a label, 0..S-1, for each pixel,
// row by row.

/** Returns a label map of one label. */
export function blank(width, height, label) {
  return { width, height, labels: new Uint16Array(width * height).fill(label) };
}

/**
 * Returns which pixels a round brush covers on its way from one to another.
 *
 * @param {{width, height}} map
 * @param {[number, number]} from x and y of a pixel.
 * @param {[number, number]} to
 * @param {number} size the brush's diameter in pixels.
 */
export function stroke({ width, height }, from, to, size) {
  const mask = new Uint8Array(width * height);
  const radius = size / 2;
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
  const length = dx * dx + dy * dy;
  const range = (a, b, end) => [
    Math.max(0, Math.floor(Math.min(a, b) - radius)),
    Math.min(end - 1, Math.ceil(Math.max(a, b) + radius)),
  ];
  const [left, right] = range(from[0], to[0], width);
  const [top, bottom] = range(from[1], to[1], height);
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      // The nearest point of the way.
      let t = length && ((x - from[0]) * dx + (y - from[1]) * dy) / length;
      t = Math.max(0, Math.min(1, t));
      const distance = Math.hypot(x - from[0] - t * dx, y - from[1] - t * dy);
      // A brush of one pixel covers the pixel.
      if (distance < Math.max(radius, 0.71)) mask[y * width + x] = 1;
    }
  }
  return mask;
}

/** Returns the pixels around one that have its label and hang together. */
export function region({ width, height, labels }, x, y) {
  const mask = new Uint8Array(labels.length);
  const label = labels[y * width + x];
  const stack = [[x, y]];
  while (stack.length) {
    const [px, py] = stack.pop();
    const i = py * width + px;
    if (px < 0 || py < 0 || px >= width || py >= height) continue;
    if (mask[i] || labels[i] !== label) continue;
    mask[i] = 1;
    stack.push([px - 1, py], [px + 1, py], [px, py - 1], [px, py + 1]);
  }
  return mask;
}

/** Returns all the pixels that have the label of one. */
export function classOf({ width, labels }, x, y) {
  const label = labels[y * width + x];
  return Uint8Array.from(labels, (other) => (other === label ? 1 : 0));
}

/** Returns a label map with a label where the mask is set. */
export function paint(map, mask, label) {
  const labels = map.labels.map((old, i) => (mask[i] ? label : old));
  return { ...map, labels };
}

/** Returns a label map in another size, by the nearest pixel. */
export function resize(map, width, height) {
  if (width === map.width && height === map.height) return map;
  const labels = new Uint16Array(width * height);
  for (let y = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * map.height) / height);
    for (let x = 0; x < width; x++) {
      const column = Math.floor(((x + 0.5) * map.width) / width);
      labels[y * width + x] = map.labels[row * map.width + column];
    }
  }
  return { width, height, labels };
}
