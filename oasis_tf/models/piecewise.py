"""Conditioning that is constant in pieces: the same pictures for less.

SPADE's scale and shift of a pixel follow from the 5 x 5 pixels of conditioning
around it, by two convolutions of 3 x 3. A label map is constant almost
everywhere, and so is noise with one vector for a picture, a class or a region:
few neighbourhoods of 5 x 5 pixels differ from one another. Each of these is
computed once, and looked up wherever it is. Nothing is approximated.
"""

import dataclasses

import tensorflow as tf

MOST_BORDERS = 1 / 3
"""Share of pixels at a border up to which neighbourhoods are looked up.

There the work by neighbourhoods reaches three quarters of the dense form's, as
counted for maps of COCO-Stuff and ADE20K at all resolutions. Beyond it little
time is won, for much memory.
"""

_LARGEST_INDEX = 2**21 - 1
"""Three of them fit into one number of 64 bits."""


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Conditioning by the vectors that occur in it.

    Args:
        palette: `[U, Z + S]`, float32. Noise, then one-hot label.
        index_map: `[B, H, W]`, int32. The place in the palette of each pixel's
            vector. No two images share one.
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
        fit: bool scalar; whether there were numbers enough for them. If not,
            the rest means nothing.
        terms: pair of `[9 K]`, int32: which of nine products with as many rows
            as indices and one, and in which window they are summed up.
    """

    members: tf.Tensor
    window_map: tf.Tensor
    fit: tf.Tensor
    terms: tuple[tf.Tensor, tf.Tensor]

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
        num_rows = tf.shape(rows)[0]
        fit = tf.maximum(num_indices, num_rows) <= _LARGEST_INDEX
        # Within the rows even where there were not numbers enough.
        columns = tf.clip_by_value(columns, 0, num_rows - 1)
        members = tf.reshape(tf.gather(rows, columns), [-1, 9])
        products = members + tf.range(9) * (num_indices + 1)
        windows = tf.repeat(tf.range(tf.shape(members)[0]), 9)
        terms = (tf.reshape(products, [-1]), windows)
        return cls(members, window_map, fit, terms)

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
        are_few: bool scalar; whether looking them up takes less time than
            convolutions.
    """

    def __init__(self, pieces):
        self.pieces = pieces
        are_few = _border_share(pieces.index_map) <= MOST_BORDERS
        # Looking for equal windows takes time: not where there are hardly any.
        index_map = tf.cond(
            are_few,
            lambda: pieces.index_map,
            lambda: pieces.index_map[:, :1, :1],
        )
        self.inner = Windows.of(index_map, tf.shape(pieces.palette)[0])
        self.outer = Windows.of(self.inner.window_map, self.inner.count)
        self.are_few = are_few & self.inner.fit & self.outer.fit


def _border_share(index_map):
    """Returns the share of pixels unlike the left or the upper one."""
    is_border = tf.pad(
        index_map[:, :, 1:] != index_map[:, :, :-1], [[0, 0], [0, 0], [1, 0]]
    ) | tf.pad(index_map[:, 1:] != index_map[:, :-1], [[0, 0], [1, 0], [0, 0]])
    return tf.reduce_mean(tf.cast(is_border, tf.float32))


def convolve(rows, kernel, windows):
    """Returns a 3 x 3 convolution of a map of rows, in each distinct window.

    A row's product with each of the kernel's nine matrices is computed once,
    and nine of them are summed up for a window: few rows are in many windows.
    Beyond the image there is zero.

    Args:
        rows: `[U, C]`.
        kernel: `[3, 3, C, D]`.
        windows: `Windows` of the rows' numbers.

    Returns:
        `[K, D]`.
    """
    channels, filters = kernel.shape[2:]
    matrices = tf.reshape(kernel, [9, channels, filters])
    rows = tf.pad(rows, [[0, 1], [0, 0]])  # The last is beyond the image.
    products = tf.matmul(rows[None], matrices)  # [9, U + 1, D]
    # Summed up in float32, as a convolution would.
    sums = tf.sparse.segment_sum(
        tf.cast(tf.reshape(products, [-1, filters]), tf.float32), *windows.terms
    )
    return tf.cast(sums, rows.dtype)


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
