"""The averaged generator for TFLite (LiteRT), in several precisions."""

import functools
import tempfile
import warnings

import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from oasis_tf.exporters import light_files
from oasis_tf.exporters.comparison import NUM_COMPARED
from oasis_tf.exporters.comparison import compare
from oasis_tf.exporters.comparison import examples
from oasis_tf.exporters.light_generator import LightGenerator

PRECISIONS = ("float32", "float16", "int8_dynamic", "int8")

_SIGNATURES = ("synthesize", "resample")


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
            given. Labels, one at least. The last few are compared; the others
            calibrate int8, or the same where there are no more.
        progress: function of a line of text.

    Returns:
        The `Difference` from the network's own pictures, dict by signature.

    Raises:
        ConversionError: if it is larger than the precision accounts for.
        ValueError: if the size or the precision is none, or there is no label
            map.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. Received: "
            f"{precision!r}."
        )
    light_files.check_label_maps(label_maps)
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
    runner = Model(model)
    differences = {
        name: compare(
            precision,
            generator,
            name,
            signature,
            label_maps,
            functools.partial(runner.run, name),
        )
        for name, signature in signatures.items()
    }
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
    # Not those that it is compared on, where there are others.
    maps = label_maps[:-NUM_COMPARED] or label_maps
    for name, signature in signatures.items():
        for inputs in examples(signature, maps):
            yield name, inputs


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
