"""The averaged generator."""


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

    Source: OASIS (arXiv:2012.04781), Section 4.1 (decay 0.9999).
    """

    def move(average_variable, value):
        average_variable.assign_sub((1 - decay) * (average_variable - value))

    for mine, current in zip(average.variables, model.variables, strict=True):
        # Each device moves its own copy: nothing travels between them.
        strategy.extended.update(mine.value, move, args=(current.value,))
