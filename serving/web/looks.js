// Looks: which noise every pixel has, and the way from one look to another.
//
// A look is { placeMap, vectors }: each pixel's place, and a latent vector for
// each place. One place is global noise; a place for each pixel is 3D noise.

const SMALLEST_SINE = 1e-4; // Below, there is no one arc between two vectors.

/** Returns a function of standard normal numbers that follow from a seed. */
export function normalNumbers(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    // Mulberry32: 32 bits of state are plenty for the looks of one person.
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  return () =>
    Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Returns a vector of standard normal numbers. */
export function sampleVector(length, normal) {
  return Float32Array.from({ length }, normal);
}

/**
 * Returns a new look of all pixels.
 *
 * @param {number} numPixels
 * @param {number} channels of the noise; 0 for none.
 * @param {boolean} isPerPixel whether each pixel has noise of its own.
 * @param {number} seed
 */
export function newLook(numPixels, channels, isPerPixel, seed) {
  const normal = normalNumbers(seed);
  const numPlaces = isPerPixel ? numPixels : 1;
  return {
    placeMap: Int32Array.from({ length: numPixels }, (_, i) =>
      isPerPixel ? i : 0),
    vectors: Array.from({ length: numPlaces }, () =>
      sampleVector(channels, normal)),
  };
}

/** Returns a look with other noise where the mask is set; the rest stays. */
export function newLookInside(look, mask, isPerPixel, seed) {
  const channels = look.vectors[0].length;
  const normal = normalNumbers(seed);
  const placeMap = look.placeMap.slice();
  const vectors = look.vectors.slice();
  const one = vectors.length;
  if (!isPerPixel) vectors.push(sampleVector(channels, normal));
  mask.forEach((isInside, i) => {
    if (!isInside) return;
    if (isPerPixel) vectors[placeMap[i]] = sampleVector(channels, normal);
    else placeMap[i] = one;
  });
  return compact({ placeMap, vectors });
}

/** Returns a look without the places that no pixel has any more. */
function compact({ placeMap, vectors }) {
  const newPlace = new Map();
  const kept = [];
  const compacted = placeMap.map((place) => {
    if (!newPlace.has(place)) {
      newPlace.set(place, kept.length);
      kept.push(vectors[place]);
    }
    return newPlace.get(place);
  });
  return { placeMap: compacted, vectors: kept };
}

/**
 * Goes along the arc from one vector to another (Shoemake, Animating Rotation
 * with Quaternion Curves, SIGGRAPH 1985): the length of what comes out is one
 * that the generator has seen.
 */
export function interpolateSpherically(a, b, share) {
  let [product, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    product += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  const cosine = product / Math.sqrt(aa * bb);
  const angle = Math.acos(Math.max(-1, Math.min(1, cosine)));
  const sine = Math.sin(angle);
  let [of_a, of_b] = [1 - share, share];
  if (sine > SMALLEST_SINE) {
    of_a = Math.sin((1 - share) * angle) / sine;
    of_b = Math.sin(share * angle) / sine;
  }
  return a.map((value, i) => of_a * value + of_b * b[i]);
}

/** Returns the look a share of the way from one look to another. */
export function between(from, to, share) {
  if (share <= 0) return from;
  if (share >= 1) return to;
  const places = new Map(); // Of each pair of places that pixels have.
  const vectors = [];
  const placeMap = from.placeMap.map((a, i) => {
    const b = to.placeMap[i];
    const pair = a * to.vectors.length + b;
    if (!places.has(pair)) {
      places.set(pair, vectors.length);
      const [u, v] = [from.vectors[a], to.vectors[b]];
      vectors.push(u === v ? u : interpolateSpherically(u, v, share));
    }
    return places.get(pair);
  });
  return { placeMap, vectors };
}
