"""How far what an exported model draws is from what the network draws."""

import dataclasses
import math

import numpy as np

from oasis_tf.data.label_map import one_hot
from oasis_tf.models import noise as noise_lib

# A model that differs more is not kept: something went wrong in the conversion.
_LARGEST_VALUE = {"float32": 1e-4}  # Of numbers in [-1, 1].
_LEAST_PSNR = {"float32": 60, "float16": 40, "int8_dynamic": 25, "int8": 15}

_HALF_LEVEL = 0.5  # By which rounding changes a number at most.


class ConversionError(Exception):
    """A converted model that does not draw what the network draws."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Between pictures that were drawn and those that should have been.

    Args:
        num_images: how many pictures were compared.
        psnr: over all of them, in dB; infinity if they are the same.
        worst_psnr: of the picture that differs most, in dB.
        largest_level: largest difference of two levels, 0..255.
        largest_value: bound of the difference in the network's own numbers, in
            [-1, 1]: what rounding to 255 levels does not explain.
    """

    num_images: int
    psnr: float
    worst_psnr: float
    largest_level: int
    largest_value: float

    def __str__(self):
        if not self.largest_level:
            return f"the same levels in all of {self.num_images} pictures"
        return (
            f"PSNR {self.psnr:.1f} dB, of the worst of {self.num_images} "
            f"pictures {self.worst_psnr:.1f} dB; at most {self.largest_level} "
            "of 255 levels"
        )


NUM_COMPARED = 4
"""Label maps that a model is compared on."""


def compare(precision, generator, name, signature, label_maps, run):
    """Compares what an exported model draws with what the network draws.

    Args:
        precision: "float32", "float16", "int8_dynamic" or "int8".
        generator: `Generator`, the network itself.
        name: of a signature of `LightGenerator`.
        signature: its `Signature`.
        label_maps: list of `[H, W]`, int32. Labels; the last few are compared.
        run: function of a dict of inputs that returns a picture
            `[1, H, W, 3]`, uint8.

    Returns:
        `Difference`.

    Raises:
        ConversionError: if it is larger than the precision accounts for.
    """
    comparison = Comparison(generator)
    for inputs in examples(signature, label_maps[-NUM_COMPARED:], seed=1):
        comparison.add(run(inputs), inputs["label_map"], noise_of(name, inputs))
    difference = comparison.difference()
    _check(precision, name, difference)
    return difference


def _check(precision, name, difference):
    limit = _LARGEST_VALUE.get(precision, np.inf)
    if difference.largest_value > limit:
        raise ConversionError(
            f"The {precision} model's {name} must differ by at most {limit:g} "
            f"from the network's numbers in [-1, 1]. Received: "
            f"{difference.largest_value:.2g}."
        )
    least = _LEAST_PSNR[precision]
    if not difference.psnr >= least:
        raise ConversionError(
            f"The {precision} model's {name} must have a PSNR of at least "
            f"{least} dB against the network's pictures. Received: "
            f"{difference.psnr:.1f} dB."
        )


class Comparison:
    """Collects pictures beside the network's own for the same inputs.

    Args:
        generator: `Generator`, the network itself.
    """

    def __init__(self, generator):
        self._generator = generator
        self._errors, self._levels, self._values = [], [], []

    def add(self, image, label_map, noise):
        """Takes up one picture.

        Args:
            image: `[1, H, W, 3]`, uint8. What the exported model drew.
            label_map: `[1, H, W]`, int32. Labels.
            noise: `[1, H, W, Z]`, float32.
        """
        expected = self._generator(
            noise, one_hot(label_map, self._generator.semantic_channels)
        )
        values = 127.5 * expected.numpy().astype(np.float64) + 127.5
        levels = np.clip(np.round(values), 0, 255)
        image = image.astype(np.float64)
        self._errors.append(np.mean((image - levels) ** 2))
        self._levels.append(np.abs(image - levels).max())
        excess = np.abs(image - values).max() - _HALF_LEVEL
        self._values.append(max(0, excess) / 127.5)

    def difference(self):
        """Returns the `Difference`."""
        return Difference(
            len(self._errors),
            _psnr(np.mean(self._errors)),
            _psnr(max(self._errors)),
            int(max(self._levels)),
            float(max(self._values)),
        )


def _psnr(error):
    return 10 * math.log10(255**2 / error) if error else math.inf


def noise_of(signature_name, inputs):
    """Returns the 3D noise that a signature of `LightGenerator` draws with.

    Args:
        signature_name: "synthesize", "resample" or "synthesize_places".
        inputs: dict of its inputs' names -> arrays.

    Returns:
        `[1, H, W, Z]`, float32.
    """
    label_map = inputs["label_map"]
    size = label_map.shape[1:]
    if signature_name == "synthesize_places":
        return noise_lib.placed_noise(inputs["z"], inputs["place_map"])

    def everywhere(z):
        return z if z.ndim == 4 else noise_lib.global_noise(z, size)

    noise = everywhere(inputs.get("z", np.zeros([1, 0], np.float32)))
    if signature_name == "resample":
        noise = noise_lib.resample_mask(
            noise, everywhere(inputs["z_local"]), inputs["noise_mask"] > 0.5
        )
    return noise


def examples(signature, label_maps, seed=0):
    """Yields inputs of a signature of `LightGenerator`, one for each map.

    Masks are discs of random places and sizes, which also are the second of
    two places.

    Args:
        signature: `Signature`.
        label_maps: list of `[H, W]`, int32. Labels.
        seed: int, of the noise and the masks.

    Yields:
        dict of input name -> array.
    """
    rng = np.random.default_rng(seed)
    num_places = 2
    for label_map in label_maps:
        height, width = label_map.shape
        y, x = np.mgrid[:height, :width]
        center = rng.uniform(0, [height, width])
        radius = rng.uniform(0.2, 0.6) * min(height, width)
        disc = np.hypot(y - center[0], x - center[1]) < radius
        inputs = {}
        for name, argument in signature.inputs.items():
            if name == "label_map":
                value = label_map
            elif name == "noise_mask":
                value = disc
            elif name == "place_map":
                value = disc
            else:
                sizes = {"H": height, "W": width, "P": num_places}
                shape = [sizes.get(n, n) for n in argument.shape[1:]]
                value = rng.normal(size=shape)
            inputs[name] = value[None].astype(argument.dtype)
        yield inputs
