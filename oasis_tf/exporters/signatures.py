"""What a model's signatures take and return: for its graph and its users."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Argument:
    """An input or an output of a signature.

    Args:
        dtype: its name: "int32".
        shape: ints, and letters for what is free: ("B", "H", "W").
        doc: one sentence.
    """

    dtype: str
    shape: tuple
    doc: str

    def spec(self, name):
        """Returns the `tf.TensorSpec`."""
        sizes = [n if isinstance(n, int) else None for n in self.shape]
        return tf.TensorSpec(sizes, self.dtype, name)


@dataclasses.dataclass(frozen=True)
class Signature:
    """A function of a SavedModel.

    Args:
        doc: one sentence.
        inputs, outputs: dicts of name -> `Argument`.
    """

    doc: str
    inputs: dict
    outputs: dict

    def compile(self, function):
        """Returns a `tf.function` of these inputs, in their order."""
        specs = [argument.spec(name) for name, argument in self.inputs.items()]
        return tf.function(function, input_signature=specs, autograph=False)


def describe(signatures):
    """Returns signatures by their names as JSON takes them."""
    return {
        name: dataclasses.asdict(signature)
        for name, signature in signatures.items()
    }
