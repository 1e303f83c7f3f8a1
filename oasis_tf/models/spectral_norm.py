"""Convolution under spectral normalization."""

import keras
import tensorflow as tf

from oasis_tf.models import winograd
from oasis_tf.models.convolution import conv2d
from oasis_tf.models.resampling import upsample_conv2d

# The authors' gain; the paper does not state it.
INITIAL_GAIN = 0.02


def kernel_initializer(gain=INITIAL_GAIN):
    """Returns the initializer of every kernel: Glorot normal with a gain.

    The standard deviation is gain * sqrt(2 / (fan_in + fan_out)).

    Args:
        gain: above 0. A kernel under spectral normalization computes the same
            with any gain, but the smaller it is the faster it turns.
    """
    return keras.initializers.VarianceScaling(
        scale=gain**2, mode="fan_avg", distribution="untruncated_normal"
    )


def power_iteration(matrix, u):
    """Takes one step towards the first singular vectors of a matrix.

        v = W u / |W u|,  u = W^T v / |W^T v|,  sigma = v^T W u

    Args:
        matrix: `[K, C]`, float32. W: K kernel entries for each output channel.
        u: `[C]`, float32. The right vector so far.

    Returns:
        `(u, v, sigma)` of shapes `[C]`, `[K]` and `[]`. The vectors are of
        length 1 and constants to sigma's gradient.

    Source: Miyato et al., Spectral Normalization (arXiv:1802.05957),
        Algorithm 1. (W is transposed there, and u and v change roles.)
    """
    v = _unit(tf.matmul(matrix, u[:, None]))
    product = tf.matmul(matrix, v, transpose_a=True)  # W^T v
    u = _unit(product)
    return u[:, 0], v[:, 0], tf.reduce_sum(product * u)


def _unit(vector):
    """Returns a vector over its length, a constant to gradients."""
    # The bound, of the squared length, keeps a zero vector finite.
    return tf.stop_gradient(tf.math.l2_normalize(vector, epsilon=1e-24))


@keras.saving.register_keras_serializable("oasis_tf")
class SpectralConv2D(keras.layers.Layer):
    """Convolution whose kernel is divided by its largest singular value.

        y = x * (W / sigma(W)) + b,    sigma(W) = v^T W u

    A reparametrization: the stored kernel W is never overwritten, and the
    gradient flows through sigma with u and v held constant. In training each
    call takes one power iteration before use; otherwise the stored vectors are
    used. All of it is float32 under every precision.

    Args:
        filters: output channels C.
        kernel_size: int, height and width of the kernel.
        use_bias: whether b is there.
        upsample: whether each pixel of x is repeated in height and width
            before; for a kernel of 3 x 3 only.
        initial_gain: see `kernel_initializer`.

    Call arguments:
        x: `[B, H, W, C_in]`.
        training: whether to iterate u and v.

    Returns:
        `[B, H, W, C]`; `[B, 2H, 2W, C]` with `upsample`.

    Raises:
        ValueError: if `upsample` goes with another kernel size.

    Source: Miyato et al., Spectral Normalization (arXiv:1802.05957), Eq. 8.
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        use_bias=True,
        upsample=False,
        initial_gain=INITIAL_GAIN,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if upsample and kernel_size != 3:
            raise ValueError(
                "`kernel_size` must be 3 with `upsample`. Received: "
                f"kernel_size={kernel_size}."
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.upsample = upsample
        self.initial_gain = initial_gain
        self._is_folded = False
        self._is_transformed = False

    def build(self, x_shape):
        size = self.kernel_size
        self.kernel = self.add_weight(
            name="kernel",
            shape=(size, size, x_shape[-1], self.filters),
            initializer=kernel_initializer(self.initial_gain),
            autocast=False,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.filters,),
                initializer="zeros",
            )
        self.u = self._singular_vector("u", self.filters)
        self.v = self._singular_vector("v", size * size * x_shape[-1])

    def _singular_vector(self, name, length):
        return self.add_weight(
            name=name,
            shape=(length,),
            initializer=_random_unit_vector,
            trainable=False,
            autocast=False,
            # The same on every replica, for it follows from the kernel alone.
            aggregation="only_first_replica",
        )

    def normalized_kernel(self, training=False):
        """Returns W / sigma(W).

        Args:
            training: whether to take a power iteration first.

        Returns:
            `[k, k, C_in, C]`, float32.
        """
        kernel = tf.convert_to_tensor(self.kernel)
        if self._is_folded:
            return kernel
        matrix = tf.reshape(kernel, [-1, self.filters])  # [K, C]
        u = tf.convert_to_tensor(self.u)
        if training:
            u, v, sigma = power_iteration(matrix, u)
            self.u.assign(u)
            self.v.assign(v)
        else:
            v = tf.convert_to_tensor(self.v)
            sigma = tf.reduce_sum(tf.linalg.matvec(matrix, u) * v)
        return kernel / sigma

    def fold(self, has_winograd=False):
        """Divides the stored kernel by sigma, once and for all.

        From then on the layer is a plain convolution, without u and v among
        its variables. It cannot be trained any more, nor saved by Keras.

        Args:
            has_winograd: whether to store what `winograd.conv2d` takes, where
                that is faster.

        Raises:
            ValueError: if the layer is folded already, or computes in another
                type than float32 with `has_winograd`.
        """
        if self._is_folded:
            raise ValueError(f"The layer must not be folded. Received: {self}.")
        if has_winograd and self.compute_dtype != "float32":
            raise ValueError(
                "`has_winograd` is for layers that compute in float32. "
                f"Received: one that computes in {self.compute_dtype}."
            )
        kernel = self.normalized_kernel()
        tile = 0 if self.upsample else winograd.tile_size(kernel.shape)
        for variable in (self.kernel, self.u, self.v):
            self._untrack_variable(variable)
        self.u = self.v = None
        self._is_folded = True
        self._is_transformed = has_winograd and tile > 0
        if self._is_transformed:
            kernel = winograd.transform_kernel(kernel, tile)
        # As Keras does where it quantizes: a built layer takes no variables.
        self._tracker.unlock()
        self.kernel = self.add_weight(
            name="kernel",
            shape=kernel.shape,
            initializer=lambda *_, **__: kernel,
            autocast=False,
        )
        self._tracker.lock()

    def call(self, x, training=False):
        # Not before x is there: a copy of all kernels at a time is large.
        with tf.control_dependencies([x] if training else []):
            kernel = self.normalized_kernel(training)
        if self.upsample:
            y = upsample_conv2d(x, kernel)
        elif self._is_transformed:
            y = winograd.conv2d(x, kernel)
        else:
            y = conv2d(x, tf.cast(kernel, x.dtype))
        if self.use_bias:
            y = tf.nn.bias_add(y, self.bias)
        return y

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "use_bias": self.use_bias,
            "upsample": self.upsample,
            "initial_gain": self.initial_gain,
        }


def _random_unit_vector(shape, dtype=None):
    return _unit(keras.random.normal(shape, dtype=dtype))
