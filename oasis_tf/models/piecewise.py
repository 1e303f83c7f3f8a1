"""Conditioning that is constant in pieces: the same pictures for less.

SPADE's scale and shift of a pixel follow from the 5 x 5 pixels of conditioning
around it, by two convolutions of 3 x 3. A label map is constant almost
everywhere, and so is noise with one vector for a picture, a class or a region:
few neighbourhoods of 5 x 5 pixels differ from one another. Each of these is
computed once, and looked up wherever it is. Nothing is approximated.
"""

import dataclasses

import tensorflow as tf

MOST_DISTINCT = 0.75
"""Share of distinct neighbourhoods up to which they are looked up.

Beyond it little time is won (5 to 35 % with 2 cores), for much memory.
"""

_LARGEST_INDEX = 2**21 - 1
"""Three of them fit into one number of 64 bits."""


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Conditioning by the vectors that occur in it.

    Args:
        palette: `[U, Z + S]`, float32. Noise, then one-hot label.
        index_map: `[B, H, W]`, int32. The place in the palette of each pixel's
            vector.
    """

    palette: tf.Tensor
    index_map: tf.Tensor

    @classmethod
    def of(cls, z, place_map, label_map, semantic_channels):
        """Returns the pieces of places' noise and labels.

        Args:
            z: `[B, P, Z]`, float32. A latent vector for each place.
            place_map: `[B, H, W]`, integer. The pixel's place, 0..P-1.
            label_map: `[B, H, W]`, integer. Labels, 0..S-1.
            semantic_channels: S.
        """
        shape = tf.shape(z, tf.int64)
        sample = tf.range(shape[0])[:, None, None]
        place = sample * shape[1] + tf.cast(place_map, tf.int64)
        pair_map = place * semantic_channels + tf.cast(label_map, tf.int64)
        pairs, index_map = _distinct(pair_map)
        vectors = tf.reshape(z, [shape[0] * shape[1], z.shape[-1]])
        noise = tf.gather(vectors, pairs // semantic_channels)
        labels = tf.one_hot(pairs % semantic_channels, semantic_channels)
        return cls(tf.concat([noise, labels], axis=-1), index_map)

    def at(self, stride):
        """Returns the pieces at the top-left pixels of cells."""
        return Pieces(self.palette, self.index_map[:, ::stride, ::stride])

    def dense(self):
        """Returns every pixel's vector, `[B, H, W, Z + S]`."""
        return tf.gather(self.palette, self.index_map)


@dataclasses.dataclass(frozen=True)
class Windows:
    """The distinct windows of 3 x 3 pixels of a map of indices.

    Args:
        members: `[K, 9]`, int32. The indices in each, row by row; where it
            reaches beyond the image, the number of indices.
        window_map: `[B, H, W]`, int32. The window around each pixel, 0..K-1.
    """

    members: tf.Tensor
    window_map: tf.Tensor

    @classmethod
    def of(cls, index_map, num_indices):
        """Returns those of a map `[B, H, W]` of 0..`num_indices` - 1."""
        padded = tf.pad(
            index_map,
            [[0, 0], [1, 1], [1, 1]],
            constant_values=tf.cast(num_indices, index_map.dtype),
        )
        rows, row_map = _distinct_triples(
            padded[:, :, :-2], padded[:, :, 1:-1], padded[:, :, 2:]
        )
        columns, window_map = _distinct_triples(
            row_map[:, :-2], row_map[:, 1:-1], row_map[:, 2:]
        )
        return cls(tf.reshape(tf.gather(rows, columns), [-1, 9]), window_map)

    @property
    def count(self):
        """K."""
        return tf.shape(self.members)[0]


class Neighbourhoods:
    """The distinct neighbourhoods of 5 x 5 pixels at one resolution.

    Several SPADE layers share them.

    Args:
        pieces: `Pieces`.

    Attributes:
        pieces: the same.
        inner: `Windows` of the palette's indices.
        outer: `Windows` of `inner`'s: 3 x 3 windows of 3 x 3 pixels.
        are_few: bool tensor; whether looking up takes less time than
            convolutions.
    """

    def __init__(self, pieces):
        self.pieces = pieces
        self.inner = Windows.of(pieces.index_map, tf.shape(pieces.palette)[0])
        self.outer = Windows.of(self.inner.window_map, self.inner.count)
        num_pixels = tf.size(pieces.index_map)
        share = tf.cast(self.outer.count, tf.float32) / tf.cast(
            num_pixels, tf.float32
        )
        # Rows of three pixels are as many as pixels, and some at the edges.
        num_rows = tf.reduce_prod(tf.shape(pieces.index_map) + [0, 2, 0])
        self.are_few = (share <= MOST_DISTINCT) & (num_rows < _LARGEST_INDEX)


def convolve_palette(palette, kernel, windows):
    """Returns a 3 x 3 convolution of a palette's pixels in each window.

    A vector's product with each of the kernel's nine parts is computed once,
    and nine of them summed up for a window. Beyond the image there is zero.

    Args:
        palette: `[U, C]`.
        kernel: `[3, 3, C, D]`.
        windows: `Windows` of the palette's indices.

    Returns:
        `[K, D]`.
    """
    channels, filters = kernel.shape[2:]
    parts = tf.reshape(
        tf.transpose(kernel, [2, 0, 1, 3]), [channels, 9 * filters]
    )
    products = tf.pad(palette @ parts, [[0, 1], [0, 0]])
    products = tf.reshape(products, [-1, filters])
    nine = tf.gather(products, 9 * windows.members + tf.range(9))
    return tf.reduce_sum(nine, axis=1)


def convolve_rows(rows, kernel, windows):
    """Returns a 3 x 3 convolution of rows in each window.

    Args:
        rows: `[U, C]`. Of many rows few windows have the same.
        kernel: `[3, 3, C, D]`.
        windows: `Windows` of the rows' numbers.

    Returns:
        `[K, D]`.
    """
    channels, filters = kernel.shape[2:]
    rows = tf.pad(rows, [[0, 1], [0, 0]])
    nine = tf.reshape(tf.gather(rows, windows.members), [-1, 9 * channels])
    return nine @ tf.reshape(kernel, [9 * channels, filters])


def _distinct(values):
    """Returns the distinct values `[K]`, and each one's place among them."""
    distinct, places = tf.unique(tf.reshape(values, [-1]))
    return distinct, tf.reshape(places, tf.shape(values))


def _distinct_triples(first, second, third):
    """Returns the distinct triples `[K, 3]` of three maps, and their map."""
    first, second, third = (
        tf.cast(indices, tf.int64) for indices in (first, second, third)
    )
    base = _LARGEST_INDEX + 1
    triples, triple_map = _distinct((first * base + second) * base + third)
    members = tf.stack(
        [triples // base**2, triples // base % base, triples % base], axis=-1
    )
    return tf.cast(members, tf.int32), triple_map
