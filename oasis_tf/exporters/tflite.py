"""The averaged generator for TFLite (LiteRT), in several precisions."""

import tempfile
import warnings

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from oasis_tf.exporters import light_files
from oasis_tf.exporters.comparison import Comparison
from oasis_tf.exporters.comparison import examples
from oasis_tf.exporters.comparison import noise_of
from oasis_tf.exporters.light_generator import LightGenerator

PRECISIONS = ("float32", "float16", "int8_dynamic", "int8")

_SIGNATURES = ("synthesize", "resample")
_MOST_CALIBRATED = 100  # Label maps; more change the ranges little.
_NUM_COMPARED = 4  # Label maps.

# A model that differs more is not kept: something went wrong in the conversion.
_LARGEST_VALUE = {"float32": 1e-4}  # Of numbers in [-1, 1].
_LEAST_PSNR = {"float32": 60, "float16": 40, "int8_dynamic": 25, "int8": 15}


class ConversionError(Exception):
    """A converted model that does not draw what the network draws."""


def export_generator(
    generator, config, info, path, precision, size, label_maps, progress=print
):
    """Writes a TFLite model of a generator, and a JSON file that describes it.

    float16 stores the kernels in half the bytes; int8_dynamic in a quarter, and
    multiplies them with numbers that are brought to 8 bits as they come; int8
    does everything in 8 bits, with the ranges of numbers that the label maps
    lead to.

    Args:
        generator: `Generator`, with the statistics to infer with.
        config: `Config` of its training.
        info: `DatasetInfo`.
        path: of the file, which must not be there; the JSON file has its name
            with another ending.
        precision: one of `PRECISIONS`.
        size: (height, width) of the pictures, or None for any.
        label_maps: list of `[H, W]` int32 arrays, of that size where it is
            given. Labels. Some are compared, all calibrate int8.
        progress: function of a line of text.

    Returns:
        The `Difference` from the network's own pictures, dict by signature.

    Raises:
        ConversionError: if it is larger than the precision accounts for.
        ValueError: if the size or the precision is none.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. Received: "
            f"{precision!r}."
        )
    light_files.check_free(path)
    light = LightGenerator(generator, config.generator.noise, size)
    signatures = {
        name: light.signatures[name]
        for name in _SIGNATURES
        if name in light.signatures
    }
    compiled = light.compile()
    with tempfile.TemporaryDirectory() as folder:
        # A SavedModel of plain variables: a function that captures Keras's
        # would be converted without its weights.
        tf.saved_model.save(
            light,
            folder,
            signatures={name: compiled[name] for name in signatures},
        )
        progress("Converting...")
        model = _convert(folder, signatures, precision, label_maps)
    progress("Comparing its pictures with the network's...")
    differences = {}
    runner = Model(model)
    for name, signature in signatures.items():
        comparison = Comparison(generator)
        compared = label_maps[-_NUM_COMPARED:]
        for inputs in examples(signature, compared, seed=1):
            comparison.add(
                runner.run(name, inputs),
                inputs["label_map"],
                noise_of(name, inputs),
            )
        differences[name] = comparison.difference()
        _check(precision, name, differences[name])
    light_files.write(
        path,
        model,
        light_files.facts(config, info, generator, signatures, differences)
        | {"precision": precision, "size": size},
    )
    return differences


def _convert(folder, signatures, precision, label_maps):
    """Returns the bytes of the model."""
    converter = tf.lite.TFLiteConverter.from_saved_model(
        folder, signature_keys=list(signatures)
    )
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        # Nothing in float, which the runtimes of small devices have not.
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        ]
        converter.representative_dataset = lambda: _calibration(
            signatures, label_maps
        )
    with warnings.catch_warnings():
        # It calibrates with the interpreter that it advises against.
        warnings.simplefilter("ignore")
        return converter.convert()


def _calibration(signatures, label_maps):
    maps = label_maps[:_MOST_CALIBRATED]
    for name, signature in signatures.items():
        for inputs in examples(signature, maps):
            yield name, inputs


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


class Model:
    """A TFLite model in LiteRT's interpreter.

    Args:
        content: bytes of the model.
        num_threads: of an operation.

    Raises:
        ValueError: if it is none.
    """

    def __init__(self, content, num_threads=None):
        self._interpreter = Interpreter(
            model_content=content, num_threads=num_threads
        )
        self._runners = {}

    def run(self, signature_name, inputs):
        """Returns the picture `[1, H, W, 3]`, uint8."""
        if signature_name not in self._runners:
            self._runners[signature_name] = (
                self._interpreter.get_signature_runner(signature_name)
            )
        return self._runners[signature_name](**inputs)["image"]
