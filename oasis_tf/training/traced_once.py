"""Networks that are traced once and called from several places."""

import keras
import tensorflow as tf


def traced_once(model, forward):
    """Returns a function that calls a network as one operation.

    In a graph each call of a network is thousands of operations, which take
    seconds and megabytes to make. Here they are made once, in a function of
    their own, and called from then on; TensorFlow puts them in place where it
    runs the graph. What is computed is the same.

    Not for a network that reduces over replicas as it runs: within a function
    TensorFlow cannot wait for the others. Not under XLA, which takes what a
    function returns as known only at run time, shapes too.

    Args:
        model: built network.
        forward: function of tensors that calls `model` in training and returns
            its output. It uses no variable but the model's.

    Returns:
        Function of the same tensors with the same output. Gradients reach the
        model's trainable variables, and statistics are collected, as without
        it.
    """

    @tf.function(autograph=False)
    def stateless(values, *inputs):
        mapping = list(zip(model.variables, values, strict=True))
        with keras.StatelessScope(mapping) as scope:
            output = forward(*inputs)
        # Vectors, together: each output would have a gradient of zeros.
        statistics = [
            scope.get_current_value(v) for v in model.non_trainable_variables
        ]
        return output, tf.concat(statistics, axis=0)

    def stateful(*inputs):
        values = [tf.convert_to_tensor(v) for v in model.variables]
        output, statistics = stateless(values, *inputs)
        variables = model.non_trainable_variables
        statistics = tf.split(statistics, [v.shape[0] for v in variables])
        for variable, value in zip(variables, statistics, strict=True):
            variable.assign(value)
        return output

    return stateful
