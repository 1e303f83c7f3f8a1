"""Parameter-free batch normalization, synchronized over the replicas."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("oasis_tf")
class BatchNorm(keras.layers.Layer):
    """Brings every channel to mean 0 and variance 1.

        y = (x - mean) / sqrt(variance + epsilon)

    In training, mean and variance are the batch's, over all replicas, and

        moving = momentum * moving + (1 - momentum) * batch's

    with the unbiased variance (n - 1 in the denominator), as in the authors'
    framework; `keras.layers.BatchNormalization` averages the biased one, which
    for the few pixels of the first feature maps is another number.

    Args:
        momentum: of the moving averages. 0.9 here is PyTorch's 0.1.
        epsilon: added to the variance.

    Attributes:
        is_fused: whether inference is one operation, which is faster; light
            runtimes lack it and need products and sums.

    Call arguments:
        x: `[B, H, W, C]`.
        training: whether to use and collect the batch's statistics.

    Returns:
        `[B, H, W, C]`.

    Source: Ioffe and Szegedy, Batch Normalization (arXiv:1502.03167),
        Algorithm 1, without gamma and beta: SPADE supplies them.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon
        self.is_fused = True

    def build(self, x_shape):
        self.moving_mean = self._statistic("moving_mean", x_shape[-1], "zeros")
        self.moving_variance = self._statistic(
            "moving_variance", x_shape[-1], "ones"
        )

    def _statistic(self, name, channels, initializer):
        return self.add_weight(
            name=name,
            shape=(channels,),
            initializer=initializer,
            trainable=False,
            autocast=False,
            # The same on every replica, for the batch's are synchronized.
            aggregation="only_first_replica",
        )

    def statistics(self):
        """Returns the collected mean and 1 / sqrt(variance + epsilon)."""
        variance = tf.convert_to_tensor(self.moving_variance)
        return (
            tf.convert_to_tensor(self.moving_mean),
            tf.math.rsqrt(variance + self.epsilon),
        )

    def call(self, x, training=False):
        if not training and not self.is_fused:
            mean, scale = self.statistics()
            return x * scale + (-mean * scale)
        if not training:
            y, _, _ = self._fused(x, self.moving_mean, self.moving_variance)
            return y
        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            y, mean, unbiased_variance = self._fused(x)
        else:
            mean, variance, count = _synchronized_moments(x)
            y = tf.nn.batch_normalization(
                tf.cast(x, tf.float32), mean, variance, None, None, self.epsilon
            )
            y = tf.cast(y, x.dtype)
            unbiased_variance = variance * count / tf.maximum(count - 1, 1)
        self._collect(self.moving_mean, mean)
        self._collect(self.moving_variance, unbiased_variance)
        return y

    def _fused(self, x, mean=None, variance=None):
        """Returns y and the batch's mean and unbiased variance, in one op."""
        channels = x.shape[-1]
        return tf.compat.v1.nn.fused_batch_norm(
            x,
            scale=tf.ones([channels]),
            offset=tf.zeros([channels]),
            mean=None if mean is None else tf.convert_to_tensor(mean),
            variance=(
                None if variance is None else tf.convert_to_tensor(variance)
            ),
            epsilon=self.epsilon,
            is_training=mean is None,
        )

    def _collect(self, moving, value):
        value = tf.stop_gradient(value)
        moving.assign(self.momentum * moving + (1 - self.momentum) * value)

    def get_config(self):
        return super().get_config() | {
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }


def _synchronized_moments(x):
    """Returns mean `[C]`, biased variance `[C]` and n over all replicas."""
    x = tf.cast(x, tf.float32)
    context = tf.distribute.get_replica_context()

    def mean_over_replicas(values):
        # Every replica holds as many images: their means weigh the same.
        return context.all_reduce(
            tf.distribute.ReduceOp.MEAN,
            tf.reduce_mean(values, axis=[0, 1, 2]),
        )

    mean = mean_over_replicas(x)
    # Not E[x^2] - E[x]^2, which loses the digits that mean and x share.
    variance = mean_over_replicas(tf.math.squared_difference(x, mean))
    count = tf.reduce_prod(tf.shape(x)[:3]) * context.num_replicas_in_sync
    return mean, variance, tf.cast(count, tf.float32)
