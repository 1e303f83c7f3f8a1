"""Conditioning that is constant in pieces: the same pictures for less.

SPADE's scale and shift of a pixel follow from the 5 x 5 pixels of conditioning
around it, by two convolutions of 3 x 3. A label map is constant almost
everywhere, and so is noise with one vector for a picture, a class or a region:
few neighbourhoods of 5 x 5 pixels differ from one another. Each of these is
computed once, and looked up wherever it is. Nothing is approximated.
"""

import dataclasses

import tensorflow as tf

MOST_WORK = 0.75
"""Share of the dense form's work up to which neighbourhoods are looked up.

Work is counted in pixels of the dense form's second convolutions: an inner
window costs one, an outer one `OUTER_WORK`. Beyond it little time is won, for
much memory. Measured with `benchmarks.generator`.
"""

MOST_BORDERS = 0.7
"""Share of pixels at a border beyond which windows are not looked for."""

OUTER_WORK = 0.25
"""Summing nine rows, by the time of a row's product with nine matrices."""

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

    def counts(self):
        """Returns how many of the windows each image brings in, `[B]`, float32.

        Pieces of different images are different ones, and so are windows:
        they are numbered image by image.
        """
        last = tf.reduce_max(self.window_map, axis=[1, 2]) + 1
        return tf.cast(last - tf.pad(last[:-1], [[1, 0]]), tf.float32)


class Neighbourhoods:
    """The distinct neighbourhoods of 5 x 5 pixels at one resolution.

    Several SPADE layers share them.

    Args:
        pieces: `Pieces`.

    Attributes:
        pieces: the same.
        inner: `Windows` of the palette's indices.
        outer: `Windows` of `inner`'s: 3 x 3 windows of 3 x 3 pixels.
        are_few: `[B]`, bool; whether looking up an image's takes less time
            than convolutions. It depends on nothing but the image.
        are_few_in_all: bool scalar; the same for the batch as a whole.
    """

    def __init__(self, pieces):
        self.pieces = pieces
        are_scattered = _share_of_borders(pieces.index_map) > MOST_BORDERS
        # Looking for equal windows takes time: not where there are hardly any.
        index_map = tf.cond(
            tf.reduce_all(are_scattered),
            lambda: pieces.index_map[:, :1, :1],
            lambda: pieces.index_map,
        )
        self.inner = Windows.of(index_map, tf.shape(pieces.palette)[0])
        self.outer = Windows.of(self.inner.window_map, self.inner.count)
        work = self.inner.counts() + OUTER_WORK * self.outer.counts()  # [B]
        size = tf.cast(tf.shape(pieces.index_map), tf.float32)
        dense_work = size[1] * size[2]
        self.are_few = (
            (work <= MOST_WORK * dense_work)
            & ~are_scattered
            & self.inner.fit
            & self.outer.fit
        )
        self.are_few_in_all = (
            (tf.reduce_mean(work) <= MOST_WORK * dense_work)
            & ~tf.reduce_all(are_scattered)
            & self.inner.fit
            & self.outer.fit
        )


def _share_of_borders(index_map):
    """Returns the share of pixels unlike the left or the upper one, `[B]`."""
    is_border = tf.pad(
        index_map[:, :, 1:] != index_map[:, :, :-1], [[0, 0], [0, 0], [1, 0]]
    ) | tf.pad(index_map[:, 1:] != index_map[:, :-1], [[0, 0], [1, 0], [0, 0]])
    return tf.reduce_mean(tf.cast(is_border, tf.float32), axis=[1, 2])


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


def are_alike(pieces, strides):
    """Returns whether the images of a batch are all looked up or none is.

    Then, and only then, a batch gives each image what it gets alone.

    Args:
        pieces: `Pieces`.
        strides: list of ints: of the resolutions in question.

    Returns:
        Bool scalar.
    """
    few = [Neighbourhoods(pieces.at(stride)).are_few for stride in strides]
    return tf.reduce_all([tf.reduce_all(f == f[:1]) for f in few])


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
