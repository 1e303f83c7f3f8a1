"""A function that is run without the Python graph that it was traced in."""

import functools
import gc
import uuid
import weakref

import tensorflow as tf

# There is no public way to give the runtime a function's definition, nor to
# take a gradient out of the registry.
from tensorflow.python.eager import context
from tensorflow.python.framework import ops

_CUSTOM_GRADIENT = "CustomGradient"
"""How the names begin under which `tf.custom_gradient` registers gradients."""


class Detached:
    """Does as `tf.function(function)`, in less memory.

    A `tf.function` keeps the graph that Python traced it in, some ten kilobytes
    an operation, although the runtime works by a definition made of it. Here
    the definition is kept alone. What is computed is the same.

    Gradients are not to be taken of it. It is for one device: the definition
    has no place for those of others. While it is called for the first time, no
    other thread may trace a function with custom gradients, and functions that
    outlive the call must have none: all that are registered meanwhile go.

    Args:
        function: function of {name: tensor} that returns {name: tensor} and
            makes no variables.
    """

    def __init__(self, function):
        self._function = function
        self._calls = {}  # By the names, types and shapes of the tensors.

    def __call__(self, inputs):
        names = sorted(inputs)  # As TensorFlow orders them.
        tensors = [tf.convert_to_tensor(inputs[name]) for name in names]
        key = tuple(
            (n, x.dtype, tuple(x.shape)) for n, x in zip(names, tensors)
        )
        if key not in self._calls:
            names, self._calls[key] = _trace(self._function, inputs)
            weakref.finalize(self, _remove, names).atexit = False
            gc.collect()  # A graph's parts refer to each other.
        return self._calls[key](tensors)


def _trace(function, inputs):
    """Returns the definitions' names, and a function of the flat inputs."""
    gradients = ops.gradient_registry._registry
    before = set(gradients)
    traced = tf.function(function, autograph=False)
    try:
        concrete = traced.get_concrete_function(inputs)
    finally:
        # Kept for gradients of gradients; they hold the graph.
        for name in set(gradients) - before:
            if name.startswith(_CUSTOM_GRADIENT):
                del gradients[name]
    names = _add(
        [
            concrete.function_def,
            *concrete.graph.as_graph_def().library.function,
        ]
    )
    captured = list(concrete.captured_inputs)
    keys = sorted(concrete.structured_outputs)
    return names, functools.partial(_call, names[0], captured, keys)


def _add(definitions):
    """Adds functions to the runtime; returns their new names.

    Those under the old ones go when the graphs do.
    """
    end = f"_detached_{uuid.uuid4().hex}"
    names = {d.signature.name: d.signature.name + end for d in definitions}
    for definition in definitions:
        definition.signature.name += end
        for node in definition.node_def:
            node.op = names.get(node.op, node.op)
            for value in node.attr.values():
                for called in (value.func, *value.list.func):
                    if called.name:
                        called.name = names[called.name]
        context.context().add_function_def(definition)
    return list(names.values())


def _remove(names):
    for name in names:
        context.context().remove_function(name)


def _call(name, captured, keys, tensors):
    outputs = context.context().call_function(
        name.encode(), [*tensors, *captured], len(keys)
    )
    return dict(zip(keys, outputs, strict=True))
