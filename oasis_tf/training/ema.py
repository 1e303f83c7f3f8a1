"""The averaged generator and the batch statistics that belong to it."""

import contextlib

import numpy as np
import tensorflow as tf

from oasis_tf.data.label_map import one_hot


def update_average(average, model, decay, strategy):
    """Moves an average towards a model, variable by variable.

        average = decay * average + (1 - decay) * model

    Kernels, biases, batch statistics and power-iteration vectors alike. To be
    called where `model` has just been updated, outside the replicas.

    Args:
        average: model of the same form.
        model: the model that is averaged over the steps.
        decay: per step, 0..1.
        strategy: `tf.distribute.Strategy` that the variables were made under.

    Source: OASIS (arXiv:2012.04781), Section 4 (decay 0.9999).
    """

    def move(average_variable, value):
        average_variable.assign_sub((1 - decay) * (average_variable - value))

    for mine, current in zip(average.variables, model.variables, strict=True):
        # Each device moves its own copy: nothing travels between them.
        strategy.extended.update(mine.value, move, args=(current.value,))


class StatisticsEstimator:
    """Estimates the averaged generator's batch statistics from batches.

    The average of the weights has batch statistics of its own, from which the
    average of the statistics lags behind.

    Args:
        generator: the averaged `Generator`.
        draw_noise: function of `sample_number [B]` returning `[B, H, W, Z]`.
        strategy: `tf.distribute.Strategy` of the generator's variables.
    """

    def __init__(self, generator, draw_noise, strategy):
        self._generator = generator
        self._strategy = strategy
        self._batch_norms = [
            norm for block in generator.blocks for norm in block.batch_norms
        ]

        def forward(batch):
            generator(
                draw_noise(batch["sample_number"]),
                one_hot(batch["label_map"], generator.semantic_channels),
                training=True,
            )

        @tf.function(autograph=False)
        def distributed_forward(batch):
            with self._collecting_this_batch_alone():
                strategy.run(forward, (batch,))

        self._forward = distributed_forward

    @contextlib.contextmanager
    def _collecting_this_batch_alone(self):
        momentums = [norm.momentum for norm in self._batch_norms]
        try:
            for norm in self._batch_norms:
                norm.momentum = 0.0
            yield
        finally:
            for norm, momentum in zip(self._batch_norms, momentums):
                norm.momentum = momentum

    def estimate(self, batches):
        """Runs batches through the generator, as in training.

        The power iterations go on from the averaged vectors, which are not of
        length 1 and belong to no kernel in particular; they are part of what
        is estimated. The generator itself stays as it is.

        Args:
            batches: iterable of distributed training batches.

        Returns:
            Values of `generator.statistics`: the means of the batches'
            statistics, and the last power-iteration vectors.
        """
        statistics = self._generator.statistics
        averages = [variable.numpy() for variable in statistics]
        num_moving = 2 * len(self._batch_norms)
        sums = [0.0] * num_moving
        num_batches = 0
        try:
            for batch in batches:
                self._forward(batch)
                num_batches += 1
                sums = [
                    total + variable.numpy().astype(np.float64)
                    for total, variable in zip(sums, statistics)
                ]
            vectors = [v.numpy() for v in statistics[num_moving:]]
        finally:
            self._assign(averages)
        return [total / num_batches for total in sums] + vectors

    @contextlib.contextmanager
    def using(self, estimated):
        """Context in which the generator has estimated statistics.

        The averages come back at its end, for the average goes on from them.

        Args:
            estimated: what `estimate` returned.
        """
        averages = [v.numpy() for v in self._generator.statistics]
        try:
            self._assign(estimated)
            yield self._generator
        finally:
            self._assign(averages)

    def _assign(self, values):
        with self._strategy.scope():
            for variable, value in zip(
                self._generator.statistics, values, strict=True
            ):
                variable.assign(value)
