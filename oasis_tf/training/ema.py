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
            momentums = [norm.momentum for norm in self._batch_norms]
            for norm in self._batch_norms:
                norm.momentum = 0.0  # What is collected is this batch's alone.
            strategy.run(forward, (batch,))
            for norm, momentum in zip(
                self._batch_norms, momentums, strict=True
            ):
                norm.momentum = momentum

        self._forward = distributed_forward

    @contextlib.contextmanager
    def estimated(self, batches):
        """Context in which the generator has the statistics of `batches`.

        The averages come back at its end, for the average goes on from them.

        Args:
            batches: iterable of distributed training batches.
        """
        statistics = self._generator.statistics
        averages = [variable.numpy() for variable in statistics]
        moving = [
            variable
            for norm in self._batch_norms
            for variable in (norm.moving_mean, norm.moving_variance)
        ]
        sums = [0.0 for _ in moving]
        num_batches = 0
        try:
            for batch in batches:
                self._forward(batch)
                num_batches += 1
                sums = [
                    total + variable.numpy().astype(np.float64)
                    for total, variable in zip(sums, moving, strict=True)
                ]
            self._assign(moving, [total / num_batches for total in sums])
            yield self._generator
        finally:
            self._assign(statistics, averages)

    def _assign(self, variables, values):
        with self._strategy.scope():
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
