"""A network whose weights are plain variables, to be saved without Keras."""

import keras
import tensorflow as tf


class PlainNetwork(tf.Module):
    """A network as `_call`, with its weights as plain variables.

    What is saved of it holds no Keras object. `_call(*inputs, method=name)`
    calls another method of the network.

    Args:
        network: what `inference_form` returns.
        weights: dtype in which kernels are stored. They are brought to float32
            when the network runs; all else is float32 anyway.
    """

    def __init__(self, network, weights="float32"):
        super().__init__(name="plain_network")
        places = network.variables
        self.weights = [
            tf.Variable(
                tf.cast(v.value, weights if v.name == "kernel" else v.dtype),
                trainable=False,
                name=v.path,
            )
            for v in places
        ]
        # A function, not an attribute: what a module holds is saved with it.
        self._call = _with_weights(network, places, self.weights)

    @property
    def signatures(self):
        """Dict of name -> `Signature`; each is a method of that name."""
        raise NotImplementedError

    def compile(self):
        """Returns a dict of name -> `tf.function` of the signatures."""
        return {
            name: signature.compile(getattr(self, name))
            for name, signature in self.signatures.items()
        }


def _with_weights(network, places, weights):
    """Returns the network as a function that reads other variables.

    Args:
        network: `keras.Model`.
        places: list of the network's variables to replace.
        weights: list of `tf.Variable`, one for each, of any dtype.
    """

    def call(*inputs, method="__call__"):
        state = [
            (place, tf.cast(weight, place.dtype))
            for place, weight in zip(places, weights, strict=True)
        ]
        with keras.StatelessScope(state_mapping=state):
            return getattr(network, method)(*inputs)

    return call
