"""Colours and textures of images, by class: histograms and their distances."""

import types

import numpy as np
from skimage import color
from skimage import feature

COLOR_AXES = ("L", "a", "b")
"""CIELAB's: lightness, green to red, blue to yellow."""

TEXTURE = "texture"
"""The name of the histogram of local binary patterns."""

EDGES = types.MappingProxyType(
    {
        "L": np.linspace(0, 100, 51),
        # All of sRGB lies within; an odd number has grey amid a bin.
        "a": np.linspace(-111, 111, 112),
        "b": np.linspace(-111, 111, 112),
        TEXTURE: np.arange(11) - 0.5,
    }
)
"""Edges of each histogram's bins: of width 2 for colours, in CIELAB's units;
one for each code, 0..9, for textures."""

_MEASURES = ("color_emd", "texture_chi2")


class Histograms:
    """Counts of colours and textures in images, by the pixels' class.

    Colours are those of CIELAB under D65, each axis by itself. A texture is a
    uniform local binary pattern of the 8 neighbours at distance 1 in the grey
    image: code 0..8 is the number of neighbours that are not darker, where
    these lie side by side, and 9 is any other pattern. Only pixels whose 3 x 3
    neighbourhood is in the image and of one class have a texture: others would
    tell of the outline rather than the surface. As that hangs on the label map
    alone, real images and the fakes of their label maps have as many.

    Args:
        semantic_channels: S.

    Attributes:
        counts: {"L", "a", "b" or "texture": `[S, K]`, int64}; K bins, see
            `EDGES`.

    Source: the measures are those of OASIS (arXiv:2012.04781); which bins,
        which pixels and which averages is our own choice. Uniform patterns:
        Ojala et al., Multiresolution Gray-Scale and Rotation Invariant Texture
        Classification with Local Binary Patterns, PAMI 2002.
    """

    def __init__(self, semantic_channels):
        self.counts = {
            name: np.zeros([semantic_channels, len(edges) - 1], np.int64)
            for name, edges in EDGES.items()
        }

    @property
    def semantic_channels(self):
        """S."""
        return len(self.counts["L"])

    @property
    def num_pixels(self):
        """`[S]`, int64: pixels of each class."""
        return self.counts["L"].sum(axis=1)

    def update(self, images, label_maps):
        """Counts the pixels of some more images.

        Args:
            images: `[B, H, W, 3]`, uint8.
            label_maps: `[B, H, W]`, integers. Labels, 0..S-1.

        Raises:
            ValueError: if these are not so.
        """
        images, label_maps = np.asarray(images), np.asarray(label_maps)
        if (
            images.dtype != np.uint8
            or images.ndim != 4
            or images.shape[-1] != 3
        ):
            raise ValueError(
                "`images` must be `[B, H, W, 3]`, uint8. Received: shape "
                f"{images.shape}, {images.dtype}."
            )
        if (
            not np.issubdtype(label_maps.dtype, np.integer)
            or label_maps.shape != images.shape[:3]
        ):
            raise ValueError(
                "`label_maps` must be `[B, H, W]`, integers, as large as the "
                f"images. Received: shape {label_maps.shape}, "
                f"{label_maps.dtype}, for images of shape {images.shape}."
            )
        label_maps = label_maps.astype(np.int64)
        if label_maps.size and not (
            label_maps.min() >= 0 and label_maps.max() < self.semantic_channels
        ):
            raise ValueError(
                f"`label_maps` must have labels 0..{self.semantic_channels - 1}"
                f". Received: {label_maps.min()}..{label_maps.max()}."
            )
        for image, label_map in zip(images, label_maps):
            lab = color.rgb2lab(image)
            for axis, name in enumerate(COLOR_AXES):
                self._count(name, lab[..., axis], label_map)
            inner, labels = _inside_classes(label_map)
            codes = texture_codes(image)[1:-1, 1:-1]
            self._count(TEXTURE, codes[inner], labels[inner])

    def _count(self, name, values, labels):
        edges, counts = EDGES[name], self.counts[name]
        num_bins = len(edges) - 1
        # All bins of a histogram are of one width.
        bins = np.floor((values - edges[0]) / (edges[1] - edges[0]))
        bins = np.clip(bins.astype(np.int64), 0, num_bins - 1)
        counts += np.bincount(
            (labels * num_bins + bins).ravel(), minlength=counts.size
        ).reshape(counts.shape)

    def merge(self, other):
        """Adds the counts of other images.

        Args:
            other: `Histograms` of as many classes.

        Raises:
            ValueError: if it is of another number of classes.
        """
        _check_alike(self, other)
        for name, counts in self.counts.items():
            counts += other.counts[name]

    def overall(self, has_dont_care):
        """Returns the counts of all classes' pixels together.

        Args:
            has_dont_care: whether label 0 is don't-care, which does not count.

        Returns:
            {name: `[K]`, int64}.
        """
        first = int(has_dont_care)
        return {name: c[first:].sum(axis=0) for name, c in self.counts.items()}

    def to_arrays(self):
        """Returns {name: `[S, K]`, int64}: to be kept, or added up."""
        return {name: counts.copy() for name, counts in self.counts.items()}

    @classmethod
    def from_arrays(cls, arrays):
        """Returns the `Histograms` that `to_arrays` was called of.

        Args:
            arrays: {name: `[S, K]`, integers}.

        Raises:
            ValueError: if these are of other histograms.
        """
        shapes = {name: np.shape(array) for name, array in arrays.items()}
        num_rows = {shape[0] for shape in shapes.values() if shape}
        semantic_channels = min(num_rows, default=0)
        needed = {
            name: (semantic_channels, len(edges) - 1)
            for name, edges in EDGES.items()
        }
        if shapes != needed:
            raise ValueError(
                f"`arrays` must have the shapes {needed}. Received: {shapes}."
            )
        histograms = cls(semantic_channels)
        for name, counts in histograms.counts.items():
            counts += arrays[name]
        return histograms


def texture_codes(image):
    """Returns the uniform local binary pattern around each pixel.

    Args:
        image: `[H, W, 3]`, uint8.

    Returns:
        `[H, W]`, 0..9, see `Histograms`; without meaning at the rim.
    """
    gray = np.round(255 * color.rgb2gray(image)).astype(np.uint8)
    return feature.local_binary_pattern(gray, P=8, R=1, method="uniform")


def _inside_classes(label_map):
    """Finds the pixels whose 3 x 3 neighbourhood is of their own class.

    Args:
        label_map: `[H, W]`.

    Returns:
        `(is_inside, label_map)`, both `[H - 2, W - 2]`: without the rim.
    """
    height, width = label_map.shape
    middle = label_map[1:-1, 1:-1]
    is_inside = np.ones(middle.shape, bool)
    for y in range(3):
        for x in range(3):
            neighbor = label_map[y : height - 2 + y, x : width - 2 + x]
            is_inside &= neighbor == middle
    return is_inside, middle


def earth_movers_distance(real, fake, bin_width):
    """How far the one histogram's mass has to be moved to be the other.

        EMD = width * sum_k |P_k - Q_k|,  P and Q the cumulated shares

    Args:
        real, fake: `[..., K]`. Counts.
        bin_width: of every bin, in the unit that the distance shall have.

    Returns:
        `[...]`, float64; NaN where one of the two is empty.

    Source: Rubner et al., The Earth Mover's Distance as a Metric for Image
        Retrieval, IJCV 2000; in one dimension it is that of the sums.
    """
    difference = _shares(real) - _shares(fake)
    return bin_width * np.abs(np.cumsum(difference, axis=-1)).sum(axis=-1)


def chi_square_distance(real, fake):
    """How much two histograms differ, bin by bin.

        chi2 = 1/2 sum_k (p_k - q_k)^2 / (p_k + q_k),  p and q the shares

    Args:
        real, fake: `[..., K]`. Counts.

    Returns:
        `[...]`, float64, 0..1; NaN where one of the two is empty.
    """
    p, q = _shares(real), _shares(fake)
    total = p + q
    terms = np.divide(
        (p - q) ** 2, total, out=np.zeros_like(total), where=total != 0
    )
    return terms.sum(axis=-1) / 2


def _shares(counts):
    counts = np.asarray(counts, np.float64)
    total = counts.sum(axis=-1, keepdims=True)
    nothing = np.full_like(counts, np.nan)
    return np.divide(counts, total, out=nothing, where=total > 0)


def compare(real, fake):
    """Returns the distances between counts of real images and of fakes.

    Args:
        real, fake: {name: `[..., K]`}, as in `Histograms.counts`.

    Returns:
        {"color_emd": mean earth mover's distance of L, a and b, in CIELAB's
        units, "texture_chi2": chi-square distance of the textures, 0..1}:
        `[...]` each, float64; NaN where there are no pixels.
    """
    color_emd = np.mean(
        [axis_distance(name, real, fake) for name in COLOR_AXES], axis=0
    )
    return {
        "color_emd": color_emd,
        "texture_chi2": axis_distance(TEXTURE, real, fake),
    }


def axis_distance(name, real, fake):
    """Returns the distance of one of the histograms.

    Args:
        name: "L", "a", "b" (earth mover's) or "texture" (chi-square).
        real, fake: as for `compare`.
    """
    if name == TEXTURE:
        return chi_square_distance(real[name], fake[name])
    width = EDGES[name][1] - EDGES[name][0]
    return earth_movers_distance(real[name], fake[name], width)


def class_distances(real, fake, has_dont_care):
    """Compares images class by class.

    Args:
        real, fake: `Histograms`.
        has_dont_care: whether label 0 is don't-care, which does not count.

    Returns:
        {"color_emd", "texture_chi2": `[S]`, float64}, as of `compare`; NaN for
        don't-care and for classes without pixels in one of the two.

    Raises:
        ValueError: if the two are of different numbers of classes.
    """
    _check_alike(real, fake)
    found = compare(real.counts, fake.counts)
    if has_dont_care:
        for values in found.values():
            values[0] = np.nan
    return found


def distances(real, fake, info):
    """Compares images, over all pixels together and class by class.

    Args:
        real, fake: `Histograms`.
        info: `DatasetInfo` of their classes.

    Returns:
        {"overall": {measure: of all classes' pixels together}, "class_mean":
        {measure: mean over the classes that both have}, "class_color_emd",
        "class_texture_chi2": {class name: distance, None where one of the two
        has none}}. The measures are "color_emd" and "texture_chi2", see
        `compare`; NaN where nothing can be compared. Don't-care never counts.

    Raises:
        ValueError: if not all are of one number of classes.
    """
    if real.semantic_channels != info.semantic_channels:
        raise ValueError(
            f"`real` must be of the {info.semantic_channels} labels of "
            f"{info.name!r}. Received: {real.semantic_channels}."
        )
    by_class = class_distances(real, fake, info.has_dont_care)
    overall = compare(
        real.overall(info.has_dont_care), fake.overall(info.has_dont_care)
    )
    found = {
        "overall": {name: float(overall[name]) for name in _MEASURES},
        "class_mean": {name: _mean(by_class[name]) for name in _MEASURES},
    }
    for name in _MEASURES:
        found[f"class_{name}"] = {
            class_name: None if np.isnan(value) else float(value)
            for class_name, value in zip(
                info.class_names, by_class[name], strict=True
            )
        }
    return found


def _mean(values):
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _check_alike(histograms, others):
    if histograms.semantic_channels != others.semantic_channels:
        raise ValueError(
            "Histograms must be of one number of classes. Received: "
            f"{histograms.semantic_channels} and {others.semantic_channels}."
        )
