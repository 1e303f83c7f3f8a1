"""`Noise`: the look of a picture, whole or part by part."""

import dataclasses
import difflib
import numbers

import numpy as np
import tensorflow as tf

from oasis_tf.models import noise as noise_lib

KINDS = ("image", "class", "region", "pixel")
"""What one latent vector is for, widest first."""

# "image" and "pixel" noise is that of the exported signatures for the same
# seed; classes and regions have streams of their own.
_BASE = (0, 0)
_CLASS, _REGION = range(1, 3)


@dataclasses.dataclass(frozen=True, eq=False)
class Noise:
    """3D noise for one label map; a change gives a new one.

    Made by `TrainedGenerator.noise`. Every method that re-samples takes a seed
    and leaves the noise elsewhere as it is, bit by bit.

        noise = generator.noise("map.png", seed=1)
        noise = noise.resample_class("tree", seed=2)
        image = generator.generate("map.png", noise=noise)

    Args:
        values: `[H, W, Z]`, float32 array.
        label_map: `[H, W]`, int32 array. Labels, 0..S-1.
        info: `DatasetInfo`.
        kind: what one latent vector is for, of `KINDS`; new noise is like it,
            but for a "class" or a "region", which is drawn as an "image" is:
            by one vector.
    """

    values: np.ndarray = dataclasses.field(repr=False)
    label_map: np.ndarray = dataclasses.field(repr=False)
    info: object = dataclasses.field(repr=False)
    kind: str = "image"

    @classmethod
    def sample(cls, label_map, info, channels, seed=0, kind="image"):
        """Draws noise.

        Args:
            label_map: `[H, W]`, int32 array. Labels, 0..S-1.
            info: `DatasetInfo`.
            channels: Z.
            seed: int, 0..2^63-1.
            kind: what one latent vector is for: the "image", a "class", a
                connected "region" of one class, or a "pixel".

        Returns:
            `Noise`.

        Raises:
            ValueError: if the seed or the kind is none.
        """
        check_seed(seed)
        label_map = np.asarray(label_map)
        seeds = tf.constant([seed], tf.int64)
        base = tf.constant(_BASE)
        if kind == "image":
            z = noise_lib.sample_z(base, seeds, channels)
            values = noise_lib.global_noise(z, label_map.shape)
        elif kind == "pixel":
            values = noise_lib.sample_pixel_noise(
                base, seeds, label_map.shape, channels
            )
        elif kind in ("class", "region"):
            use, places = _CLASS, label_map
            if kind == "region":
                use, places = _REGION, noise_lib.connected_regions(label_map)
            place_numbers = tf.range(places.max() + 1, dtype=tf.int64)
            stream = noise_lib.fold(base, use, seeds[0])
            z = noise_lib.sample_z(stream, place_numbers, channels)
            values = noise_lib.placed_noise(z[None], places[None])
        else:
            raise ValueError(
                f"`kind` must be one of {', '.join(KINDS)}. Received: {kind!r}."
            )
        return cls(values.numpy()[0], label_map, info, kind)

    def resample_mask(self, mask, seed, feather=0):
        """Re-samples the noise inside a mask.

        By one new vector; by one for each pixel where the noise is "pixel".

        Args:
            mask: `[H, W]`; anything but 0 is inside.
            seed: int. Of the new noise.
            feather: pixels inside the mask's border over which the noise goes
                from the old vector to the new one; 0 for a sharp border.

        Returns:
            `Noise`.

        Raises:
            ValueError: if the mask has another size, or the feather is
                negative.
        """
        mask = self._read_mask(mask)
        share = noise_lib.feather(mask, feather)
        other = self._sample(seed)
        if feather:
            other = self.interpolate(other, share[..., None])
        return self._with(
            noise_lib.resample_mask(self.values, other.values, mask)
        )

    def resample_class(self, name, seed, feather=0):
        """Re-samples the noise of all pixels of a class, as `resample_mask`.

        Args:
            name: of the class, one of `info.class_names`.
            seed, feather: as for `resample_mask`.

        Returns:
            `Noise`.

        Raises:
            ValueError: if there is no such class, or none of its pixels here.
        """
        mask = class_mask(self.label_map, self.info, name)
        return self.resample_mask(mask, seed, feather)

    def resample_region(self, x, y, seed, feather=0):
        """Re-samples the noise of one connected region of a class.

        Args:
            x, y: of one of its pixels, from the left and from the top.
            seed, feather: as for `resample_mask`.

        Returns:
            `Noise`.

        Raises:
            ValueError: if the pixel is not in the picture.
        """
        mask = region_mask(self.label_map, x, y)
        return self.resample_mask(mask, seed, feather)

    def resample_channels(self, channels, seed):
        """Re-samples some of the noise's channels, in the whole picture.

        Args:
            channels: list of ints, 0..Z-1.
            seed: int. Of the new vector.

        Returns:
            `Noise`.

        Raises:
            ValueError: if a channel is not one of the noise's.
        """
        other = self._sample(seed)
        return self._with(
            noise_lib.resample_channels(self.values, other.values, channels)
        )

    def interpolate(self, other, share, mask=None, is_spherical=True):
        """Goes from this noise towards another.

        Args:
            other: `Noise` of the same size.
            share: 0 for this one, 1 for the other; or `[H, W, 1]`, for each
                pixel its own.
            mask: `[H, W]`; anything but 0 goes along. None: everything does.
            is_spherical: along the arc, which keeps a vector's length usual;
                else straight.

        Returns:
            `Noise`.

        Raises:
            ValueError: if the other noise, the share or the mask has another
                shape.
        """
        if not isinstance(other, Noise):
            raise ValueError(
                f"`other` must be of `Noise`. Received: {type(other)}."
            )
        if np.shape(share) not in ((), (*self.label_map.shape, 1)):
            raise ValueError(
                "`share` must be a number, or of the shape [H, W, 1]. "
                f"Received: the shape {np.shape(share)}."
            )
        if other.values.shape != self.values.shape:
            raise ValueError(
                f"`other` must have the shape {self.values.shape}. Received: "
                f"{other.values.shape}."
            )
        go = (
            noise_lib.interpolate_spherically
            if is_spherical
            else noise_lib.interpolate
        )
        values = go(self.values, other.values, share)
        if mask is not None:
            mask = self._read_mask(mask)
            values = noise_lib.resample_mask(self.values, values, mask)
        return self._with(values)

    def _read_mask(self, mask):
        mask = np.asarray(mask) != 0
        if mask.shape != self.label_map.shape:
            raise ValueError(
                "`mask` must have the label map's shape, "
                f"{self.label_map.shape}. Received: {mask.shape}."
            )
        return mask

    def _sample(self, seed):
        channels = self.values.shape[-1]
        kind = "pixel" if self.kind == "pixel" else "image"
        return Noise.sample(self.label_map, self.info, channels, seed, kind)

    def _with(self, values):
        return dataclasses.replace(self, values=np.asarray(values))


def class_mask(label_map, info, name):
    """Returns which pixels are of a class.

    Args:
        label_map: `[H, W]`, int32 array. Labels, 0..S-1.
        info: `DatasetInfo`.
        name: of the class, in upper or lower case.

    Returns:
        `[H, W]`, bool.

    Raises:
        ValueError: if there is no such class, with near names, or none of its
            pixels here, with the classes that are.
    """
    names = list(info.class_names)
    name = str(name)
    lower = {n.lower(): n for n in names}
    if name not in names and len(lower) == len(names):
        name = lower.get(name.lower(), name)
    if name not in names:
        near = difflib.get_close_matches(name.lower(), lower, 5, 0.5)
        near += [n for n in lower if name.lower() in n and n not in near]
        text = ", ".join(repr(lower[n]) for n in near) or ", ".join(names)
        raise ValueError(
            f"The class must be one of {info.name}'s, like {text}. Received: "
            f"{name!r}."
        )
    mask = label_map == names.index(name)
    if not mask.any():
        here = [names[s] for s in np.unique(label_map)]
        raise ValueError(
            f"The class must be in the label map, which has "
            f"{', '.join(here)}. Received: {name!r}."
        )
    return mask


def region_mask(label_map, x, y):
    """Returns which pixels belong to the connected region of one pixel.

    Args:
        label_map: `[H, W]`, integer array.
        x: of the pixel, 0..W-1, from the left.
        y: of the pixel, 0..H-1, from the top.

    Returns:
        `[H, W]`, bool.

    Raises:
        ValueError: if the pixel is not in the picture.
    """
    height, width = label_map.shape
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(
            f"The pixel must be in x 0..{width - 1}, y 0..{height - 1}. "
            f"Received: x={x}, y={y}."
        )
    regions = noise_lib.connected_regions(label_map)
    return regions == regions[y, x]


def check_seed(seed):
    """Raises a ValueError unless a seed is an int, 0..2^63-1."""
    if not isinstance(seed, numbers.Integral) or not 0 <= seed < 2**63:
        raise ValueError(
            "`seed` must be a whole number, at least 0 and below 2^63. "
            f"Received: {seed!r}."
        )
