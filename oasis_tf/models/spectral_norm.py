"""Convolution under spectral normalization."""

import keras
import tensorflow as tf

from oasis_tf.models import winograd
from oasis_tf.models.convolution import add_bias
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
        length 1. All are constants to gradients.

    Source: Miyato et al., Spectral Normalization (arXiv:1802.05957),
        Algorithm 1. (W is transposed there, and u and v change roles.)
    """
    u = tf.reshape(u, [1, -1])  # The vectors are rows here.
    v, _ = _split_length(tf.matmul(u, matrix, transpose_b=True))
    u, sigma = _split_length(tf.matmul(v, matrix))  # |W^T v| = v^T W u
    u, v, sigma = (tf.stop_gradient(x) for x in (u, v, sigma))
    return tf.reshape(u, [-1]), tf.reshape(v, [-1]), sigma


def _split_length(vector):
    """Returns a vector over its length, and the length."""
    square = tf.reduce_sum(tf.square(vector))
    # The bound keeps a zero vector finite.
    inverse = tf.math.rsqrt(tf.maximum(square, 1e-24))
    return vector * inverse, square * inverse


def _over_sigma(kernel, u, v, sigma):
    """Returns W / sigma, whose gradient knows that sigma is v^T W u.

    With L's gradient G of W / sigma, that of W is

        (G - <G, W / sigma> v u^T) / sigma.

    Source: Miyato et al., Spectral Normalization (arXiv:1802.05957), Eq. 12.
    """

    @tf.custom_gradient
    def divide(kernel):
        normalized = kernel / sigma

        def gradient(dy):
            along = tf.reduce_sum(dy * normalized)
            outer = tf.reshape(v, [*kernel.shape[:-1], 1]) * u  # v u^T
            return (dy - along * outer) / sigma

        return normalized, gradient

    return divide(kernel)


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
        strides: pixels from one window to the next.
        upsample: whether each pixel of x is repeated in height and width
            before; for a kernel of 3 x 3 only.
        initial_gain: see `kernel_initializer`.

    Call arguments:
        x: `[B, H, W, C_in]`.
        training: whether to iterate u and v.

    Returns:
        `[B, H, W, C]`; `[B, 2H, 2W, C]` with `upsample`; divided by `strides`,
        rounded up.

    Raises:
        ValueError: if `upsample` goes with another kernel size or strides.

    Source: Miyato et al., Spectral Normalization (arXiv:1802.05957), Eq. 8.
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        use_bias=True,
        strides=1,
        upsample=False,
        initial_gain=INITIAL_GAIN,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if upsample and (kernel_size != 3 or strides != 1):
            raise ValueError(
                "`kernel_size` must be 3 with `upsample`, `strides` 1. "
                f"Received: kernel_size={kernel_size}, strides={strides}."
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.strides = strides
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
            return _over_sigma(kernel, u, v, sigma)
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
        is_plain = self.strides == 1 and not self.upsample
        tile = winograd.tile_size(kernel.shape) if is_plain else 0
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
            y = conv2d(x, tf.cast(kernel, x.dtype), self.strides)
        if self.use_bias:
            y = add_bias(y, self.bias)
        return y

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "use_bias": self.use_bias,
            "strides": self.strides,
            "upsample": self.upsample,
            "initial_gain": self.initial_gain,
        }


def _random_unit_vector(shape, dtype=None):
    vector, _ = _split_length(keras.random.normal(shape, dtype=dtype))
    return vector
