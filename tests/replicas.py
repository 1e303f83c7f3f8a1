"""Runs a function on two replicas; see conftest.py for their devices."""

import tensorflow as tf


def two_replicas():
    """Returns a strategy over the two logical CPU devices."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def run_on_halves(strategy, function, *tensors):
    """Runs a function on each half of a batch, in a `tf.function`.

    Args:
        strategy: `two_replicas()`.
        function: of a part of each tensor, returning a tensor or a structure
            of tensors.
        *tensors: `[B, ...]`, B even. The first replica takes the first half.

    Returns:
        What `function` returns, as a pair: of the first and of the second
        replica.
    """

    def part(tensor):
        halves = tf.split(tensor, 2)
        return strategy.experimental_distribute_values_from_function(
            lambda context: halves[context.replica_id_in_sync_group]
        )

    @tf.function(autograph=False)
    def run(parts):
        return strategy.run(function, parts)

    results = run(tuple(part(tensor) for tensor in tensors))
    local = [
        strategy.experimental_local_results(r) for r in tf.nest.flatten(results)
    ]
    return tuple(
        tf.nest.pack_sequence_as(results, [values[i] for values in local])
        for i in range(2)
    )
