"""Adam as in its paper, without a first moment where beta_1 is 0."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("oasis_tf")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A constant learning rate that falls linearly to 0 at the end.

    Args:
        learning_rate: at the start.
        num_steps: after which it is 0; a number, or a variable that may be
            set to another one in mid-run.
        decay_share: of the steps, in which it falls; 0..1.
    """

    def __init__(self, learning_rate, num_steps, decay_share):
        self.learning_rate = learning_rate
        self.num_steps = num_steps
        self.decay_share = decay_share

    def __call__(self, step):
        """Returns the learning rate of a step, a float32 scalar."""
        num_steps = tf.cast(self.num_steps, tf.float32)
        num_falling = tf.maximum(1.0, num_steps * self.decay_share)
        left = (num_steps - tf.cast(step, tf.float32)) / num_falling
        return self.learning_rate * tf.clip_by_value(left, 0.0, 1.0)

    def get_config(self):
        return {
            "learning_rate": self.learning_rate,
            "num_steps": int(tf.convert_to_tensor(self.num_steps)),
            "decay_share": self.decay_share,
        }


@keras.saving.register_keras_serializable("oasis_tf")
class Adam(keras.optimizers.Optimizer):
    """Adam with epsilon beside the bias-corrected second moment.

        m = beta_1 m + (1 - beta_1) g,    v = beta_2 v + (1 - beta_2) g^2
        w -= lr * m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)

    `keras.optimizers.Adam` adds epsilon before the correction, which after
    one step makes it 30 times larger: small gradients then move a weight by
    less. With beta_1 = 0, GANs' usual choice, m is the gradient itself and is
    not stored, which saves a third of the optimizer's and variables' memory.

    Args:
        learning_rate, beta_1, beta_2, epsilon: as in the formula.

    Source: Kingma and Ba, Adam (arXiv:1412.6980), Algorithm 1.
    """

    def __init__(
        self,
        learning_rate=1e-4,
        beta_1=0.0,
        beta_2=0.999,
        epsilon=1e-8,
        name="adam",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._second_moments = self.add_optimizer_variables(
            variables, "second_moment"
        )
        if self.beta_1 > 0:
            self._first_moments = self.add_optimizer_variables(
                variables, "first_moment"
            )

    def apply(self, grads, trainable_variables=None):
        """Moves the variables (all that it was built for, unless given)."""
        step = tf.cast(self.iterations + 1, tf.float32)
        # The same for all variables: once in a graph.
        self._corrections = 1 - self.beta_1**step, 1 - self.beta_2**step
        try:
            return super().apply(grads, trainable_variables)
        finally:
            self._corrections = None  # They would keep the graph for ever.

    def update_step(self, gradient, variable, learning_rate):
        """Moves one variable (called by Keras, on each replica's copy)."""
        index = self._get_variable_index(variable)
        variables = [variable, self._second_moments[index]]
        if self.beta_1 > 0:
            variables.append(self._first_moments[index])
        values = self._moved(
            gradient,
            tf.cast(learning_rate, variable.dtype),
            *self._corrections,
            *(tf.convert_to_tensor(v) for v in variables),
        )
        for moved, value in zip(variables, values, strict=True):
            self.assign(moved, value)

    # In a graph one operation for each variable, instead of ten.
    @tf.function(autograph=False, reduce_retracing=True)
    def _moved(
        self,
        gradient,
        learning_rate,
        first_correction,
        second_correction,
        value,
        second,
        first=None,
    ):
        """Returns [value, second moment, first moment where there is one]."""
        second += (tf.square(gradient) - second) * (1 - self.beta_2)
        direction = gradient
        moments = [second]
        if first is not None:
            first += (gradient - first) * (1 - self.beta_1)
            direction = first / first_correction
            moments.append(first)
        deviation = tf.sqrt(second / second_correction)
        value -= learning_rate * direction / (deviation + self.epsilon)
        return [value, *moments]

    def get_config(self):
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
