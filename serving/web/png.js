// Label files: PNG with one channel or a palette, whose numbers are the ids of
// the data set's own files. A browser's pictures are colours, hence this.

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const GREY = 0;
const PALETTE = 3;
const KINDS = { 2: "RGB", 4: "grey with alpha", 6: "RGB with alpha" };

/**
 * Returns the numbers in a label file.
 *
 * @param {Uint8Array} file
 * @returns {Promise<{width, height, values: Uint16Array}>}
 */
export async function decodeNumbers(file) {
  if (SIGNATURE.some((byte, i) => file[i] !== byte))
    throw new Error("A label map must be a PNG file. This is none.");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const data = [];
  let header = null;
  for (let at = 8; at + 8 <= file.length; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...file.subarray(at + 4, at + 8));
    const body = file.subarray(at + 8, at + 8 + length);
    if (body.length < length) break;
    if (type === "IHDR") header = readHeader(body);
    if (type === "IDAT") data.push(body);
    at += 12 + length;
  }
  if (!header || !data.length) throw new Error("The PNG file is cut off.");
  let bytes;
  try {
    bytes = await transform(data, new DecompressionStream("deflate"));
  } catch {
    throw new Error("The PNG file is damaged.");
  }
  return unpack(header, bytes);
}

function readHeader(body) {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const header = {
    width: view.getUint32(0),
    height: view.getUint32(4),
    bits: body[8],
    kind: body[9],
  };
  if (header.kind !== GREY && header.kind !== PALETTE) {
    throw new Error(
      "A label map must be a PNG file of ids, with one channel or a palette. " +
        `This one is ${KINDS[header.kind] || "of an unknown kind"}.`,
    );
  }
  if (body[12])
    throw new Error(
      "Interlaced PNG files are not read here: save it without interlacing.");
  return header;
}

/** Returns the numbers of inflated rows: undoes their filters and packing. */
function unpack({ width, height, bits }, bytes) {
  const rowBytes = Math.ceil((width * bits) / 8);
  if (bytes.length < height * (rowBytes + 1))
    throw new Error("The PNG file is cut off.");
  const step = Math.max(1, bits / 8); // Bytes to the pixel on the left.
  let above = new Uint8Array(rowBytes);
  const values = new Uint16Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = y * (rowBytes + 1);
    const row = bytes.slice(start + 1, start + 1 + rowBytes);
    undoFilter(bytes[start], row, above, step);
    for (let x = 0; x < width; x++)
      values[y * width + x] = readBits(row, x, bits);
    above = row;
  }
  return { width, height, values };
}

function undoFilter(filter, row, above, step) {
  for (let i = 0; i < row.length; i++) {
    const left = i >= step ? row[i - step] : 0;
    const corner = i >= step ? above[i - step] : 0;
    const up = above[i];
    row[i] += [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
  }
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [left, up, corner].map((v) => Math.abs(guess - v));
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function readBits(row, x, bits) {
  if (bits === 16) return row[2 * x] * 256 + row[2 * x + 1];
  const first = x * bits;
  return (row[first >> 3] >> (8 - bits - (first & 7))) & (2 ** bits - 1);
}

/**
 * Returns a PNG file with one channel of numbers, of 8 or 16 bits.
 *
 * @param {{width, height, values}} map
 * @returns {Promise<Uint8Array>}
 */
export async function encodeNumbers({ width, height, values }) {
  const isWide = values.some((value) => value > 255);
  const step = isWide ? 2 : 1;
  const rows = new Uint8Array(height * (width * step + 1));
  values.forEach((value, i) => {
    const at = i * step + Math.floor(i / width) + 1;
    if (isWide) rows[at] = value >> 8;
    rows[at + step - 1] = value & 255;
  });
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8 * step, GREY, 0, 0, 0], 8);
  const data = await transform([rows], new CompressionStream("deflate"));
  return concatenate([
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", header),
    chunk("IDAT", data),
    chunk("IEND", new Uint8Array()),
  ]);
}

function chunk(type, body) {
  const content = concatenate([new TextEncoder().encode(type), body]);
  const ends = new DataView(new ArrayBuffer(8));
  ends.setUint32(0, body.length);
  ends.setUint32(4, checksum(content));
  const bytes = new Uint8Array(ends.buffer);
  return concatenate([bytes.subarray(0, 4), content, bytes.subarray(4)]);
}

/** Returns the CRC-32 of bytes. */
function checksum(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

async function transform(parts, stream) {
  const input = new Blob(parts).stream().pipeThrough(stream);
  return new Uint8Array(await new Response(input).arrayBuffer());
}

function concatenate(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
