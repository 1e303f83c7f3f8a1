"""The Inception network of 2015, on whose features the FID is computed."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from oasis_tf import state_dict

IMAGE_SIZE = (299, 299)
NUM_FEATURES = 2048
PUBLISHED_FILE = "pt_inception-2015-12-05-6726825d.pth"
PUBLISHED_URL = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    + PUBLISHED_FILE
)
_SHA256 = "6726825d"  # With what that of the file begins, as its name says.
PROTOCOLS = ("pytorch_fid", "tensorflow_1")
"""Ways to bring images to the network's size and range; see `preprocess`."""

_KERAS_SUFFIX = ".weights.h5"
_TENSOR_NAMES = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# The classifier of the published file, which gives no features. Torchvision's
# Inception, another network, has 1000 classes.
_CLASSIFIER = {"fc.weight": (1008, NUM_FEATURES), "fc.bias": (1008,)}
_COUNTER = "num_batches_tracked"


def build_inception():
    """Builds the network, with random weights.

    Layers bear the published tensors' names: `Mixed_5b.branch1x1.conv`. It is
    not the Inception v3 of Keras or torchvision: its weights are others, its
    average pooling leaves the padding out of the mean, and its last block
    pools by the maximum.

    Returns:
        `keras.Model` from images `[B, 299, 299, 3]` in [-1, 1] to features
        `[B, 2048]`, float32: the means over the last activation, at least 0.

    Source: Szegedy et al. (arXiv:1512.00567), as TensorFlow's graph
        "inception-2015-12-05" has it.
    """
    x = image = keras.Input([*IMAGE_SIZE, 3], name="image")
    x = _conv(x, 32, 3, "Conv2d_1a_3x3", strides=2)  # [B, 149, 149, 32]
    x = _conv(x, 32, 3, "Conv2d_2a_3x3", padding="valid")
    x = _conv(x, 64, 3, "Conv2d_2b_3x3")
    x = keras.layers.MaxPooling2D(3, strides=2)(x)  # [B, 73, 73, 64]
    x = _conv(x, 80, 1, "Conv2d_3b_1x1")
    x = _conv(x, 192, 3, "Conv2d_4a_3x3", padding="valid")
    x = keras.layers.MaxPooling2D(3, strides=2)(x)  # [B, 35, 35, 192]
    x = _block_5(x, 32, "Mixed_5b")
    x = _block_5(x, 64, "Mixed_5c")
    x = _block_5(x, 64, "Mixed_5d")
    x = _block_6a(x, "Mixed_6a")  # [B, 17, 17, 768]
    x = _block_6(x, 128, "Mixed_6b")
    x = _block_6(x, 160, "Mixed_6c")
    x = _block_6(x, 160, "Mixed_6d")
    x = _block_6(x, 192, "Mixed_6e")
    x = _block_7a(x, "Mixed_7a")  # [B, 8, 8, 1280]
    x = _block_7(x, keras.layers.AveragePooling2D, "Mixed_7b")
    x = _block_7(x, keras.layers.MaxPooling2D, "Mixed_7c")
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    network = keras.Model(image, features, name="inception")
    network.trainable = False
    return network


def _conv(x, channels, size, name, strides=1, padding="same"):
    """Convolution, batch norm, ReLU; without padding where it strides."""
    x = keras.layers.Conv2D(
        channels,
        size,
        strides,
        padding="valid" if strides > 1 else padding,
        use_bias=False,
        name=f"{name}.conv",
    )(x)
    x = keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}.bn")(x)
    return keras.layers.ReLU()(x)


def _branch(x, name, *convs, strides=1):
    """Convolutions `(channels, size)` in a row; the last one strides."""
    for i, (channels, size) in enumerate(convs, start=1):
        last = i == len(convs)
        x = _conv(x, channels, size, f"{name}_{i}", strides if last else 1)
    return x


def _pool_branch(x, channels, name, pooling=keras.layers.AveragePooling2D):
    # In TensorFlow, "same" averages over the pixels that are there.
    x = pooling(3, strides=1, padding="same")(x)
    return _conv(x, channels, 1, f"{name}.branch_pool")


def _join(*branches):
    return keras.layers.Concatenate()(branches)


def _block_5(x, pool_channels, name):
    return _join(
        _conv(x, 64, 1, f"{name}.branch1x1"),
        _branch(x, f"{name}.branch5x5", (48, 1), (64, 5)),
        _branch(x, f"{name}.branch3x3dbl", (64, 1), (96, 3), (96, 3)),
        _pool_branch(x, pool_channels, name),
    )


def _block_6a(x, name):
    dbl = ((64, 1), (96, 3), (96, 3))
    return _join(
        _conv(x, 384, 3, f"{name}.branch3x3", strides=2),
        _branch(x, f"{name}.branch3x3dbl", *dbl, strides=2),
        keras.layers.MaxPooling2D(3, strides=2)(x),
    )


def _block_6(x, c, name):
    wide, high = (1, 7), (7, 1)
    dbl = ((c, 1), (c, high), (c, wide), (c, high), (192, wide))
    return _join(
        _conv(x, 192, 1, f"{name}.branch1x1"),
        _branch(x, f"{name}.branch7x7", (c, 1), (c, wide), (192, high)),
        _branch(x, f"{name}.branch7x7dbl", *dbl),
        _pool_branch(x, 192, name),
    )


def _block_7a(x, name):
    square = ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3))
    return _join(
        _branch(x, f"{name}.branch3x3", (192, 1), (320, 3), strides=2),
        _branch(x, f"{name}.branch7x7x3", *square, strides=2),
        keras.layers.MaxPooling2D(3, strides=2)(x),
    )


def _block_7(x, pooling, name):
    single = _conv(x, 384, 1, f"{name}.branch3x3_1")
    double = _branch(x, f"{name}.branch3x3dbl", (448, 1), (384, 3))
    return _join(
        _conv(x, 320, 1, f"{name}.branch1x1"),
        _conv(single, 384, (1, 3), f"{name}.branch3x3_2a"),
        _conv(single, 384, (3, 1), f"{name}.branch3x3_2b"),
        _conv(double, 384, (1, 3), f"{name}.branch3x3dbl_3a"),
        _conv(double, 384, (3, 1), f"{name}.branch3x3dbl_3b"),
        _pool_branch(x, 192, name, pooling),
    )


def preprocess(images, protocol="pytorch_fid"):
    """Brings images to the size and range that the network takes.

    Both ways are bilinear without antialiasing, so that large images alias.
    FIDs of the two differ and are not to be compared:

    - "pytorch_fid": as PyTorch-FID, which OASIS and SPADE are scored by, does:
      pixels are squares (half-pixel centres), 0..255 becomes [-1, 1].
    - "tensorflow_1": as the graph of 2015 itself: pixel i of the result lies
      at i * H / 299 of the image, which shifts it; (x - 128) / 128.

    Args:
        images: `[B, H, W, 3]`, 0..255.
        protocol: one of `PROTOCOLS`.

    Returns:
        `[B, 299, 299, 3]`, float32, in [-1, 1].
    """
    images = tf.cast(images, tf.float32)
    if protocol == "pytorch_fid":
        return 2 * tf.image.resize(images / 255, IMAGE_SIZE) - 1
    resized = tf.raw_ops.ResizeBilinear(images=images, size=IMAGE_SIZE)
    return (resized - 128) / 128


class Inception:
    """Features of images for FID, KID, precision and recall.

    Args:
        network: as `build_inception` returns it; with weights, see
            `load_inception`.
        protocol: one of `PROTOCOLS`; see `preprocess`.
        is_published: whether the weights are those of the published file;
            None where that cannot be told.

    Raises:
        ValueError: if the protocol is none of these.
    """

    def __init__(self, network, protocol="pytorch_fid", is_published=False):
        if protocol not in PROTOCOLS:
            raise ValueError(
                f"`protocol` must be one of {PROTOCOLS}. Received: "
                f"protocol={protocol!r}."
            )
        self.network = network
        self.protocol = protocol
        self.is_published = is_published

    def features(self, images):
        """Returns the features of images of one size, whatever it is.

        Args:
            images: `[B, H, W, 3]`, uint8.

        Returns:
            `[B, 2048]`, float32.

        Raises:
            ValueError: if these are no such images.
        """
        images = tf.convert_to_tensor(images)
        is_rgb = images.shape.rank == 4 and images.shape[-1] == 3
        if images.dtype != tf.uint8 or not is_rgb or 0 in images.shape[1:]:
            raise ValueError(
                "`images` must be uint8 [B, H, W, 3]. Received: "
                f"{images.dtype.name} {images.shape}."
            )
        if images.shape[0] == 0:
            # What convolutions make of no images depends on the processor.
            return tf.zeros([0, NUM_FEATURES])
        return self._features(images)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)]
    )
    def _features(self, images):
        x = preprocess(images, self.protocol)
        return self.network(x, training=False)


def load_inception(weights, protocol="pytorch_fid"):
    """Returns the network with the published weights.

    The published file takes PyTorch to read. To do without from then on, keep
    the weights in Keras's form, `.network.save_weights("x.weights.h5")`.

    Args:
        weights: the file at `PUBLISHED_URL`, `.pth`, or the `.weights.h5` made
            from it.
        protocol: one of `PROTOCOLS`; see `preprocess`.

    Returns:
        `Inception`, whose `is_published` follows from the SHA-256 of a `.pth`,
        and is None for the other form.

    Raises:
        ValueError: if there is no such file, it holds something else, or it is
            a `.pth` and PyTorch is not installed.
    """
    path = pathlib.Path(weights)
    expected = f"{PUBLISHED_FILE} (published at {PUBLISHED_URL})"
    is_state_dict = path.suffix == ".pth"
    if not is_state_dict and not path.name.endswith(_KERAS_SUFFIX):
        raise ValueError(
            f"Inception's weights must be {expected}, or a {_KERAS_SUFFIX} "
            f"made from it. Received: {str(weights)!r}."
        )
    if not path.is_file():
        found = "a folder" if path.exists() else "not there"
        raise ValueError(
            f"Inception's weights must be the file {expected}, or a "
            f"{_KERAS_SUFFIX} made from it. Received: {str(weights)!r}, which "
            f"is {found}."
        )
    network, is_published = build_inception(), None
    if is_state_dict:
        problems = _load(network, state_dict.read(str(path)))
        is_published = state_dict.sha256(path).startswith(_SHA256)
    else:
        problems = _load_keras(network, path)
    if problems:
        lines = [f"  {problem}" for problem in problems[:10]]
        if len(problems) > 10:
            lines.append(f"  ... and {len(problems) - 10} more")
        raise ValueError(
            f"{path} must hold the weights of {expected}. Received: a file "
            "with others:\n" + "\n".join(lines)
        )
    return Inception(network, protocol, is_published)


def published_name(variable):
    """Returns the name in the published file of one of our variables."""
    layer, name = variable.path.split("/")[-2:]
    return f"{layer}.{_TENSOR_NAMES[name]}"


def _load(network, tensors):
    """Sets the variables from a state dict; returns what does not fit."""
    shapes = dict(_CLASSIFIER)
    for variable in network.variables:
        shapes[published_name(variable)] = _published_shape(variable)
    problems = []
    for name, shape in shapes.items():
        if name not in tensors:
            problems.append(f"{name}: expected shape {shape}, found none")
        elif tensors[name].shape != shape:
            found = tensors[name].shape
            problems.append(f"{name}: expected shape {shape}, found {found}")
        elif not np.isfinite(tensors[name]).all():
            problems.append(f"{name}: expected finite numbers, found others")
    problems += [
        f"{name}: expected none, found shape {tensors[name].shape}"
        for name in sorted(tensors.keys() - shapes.keys())
        if not name.endswith(_COUNTER)
    ]
    if not problems:
        for variable in network.variables:
            value = tensors[published_name(variable)]
            # From [C, C_in, k, k].
            is_kernel = value.ndim == 4
            variable.assign(value.transpose(2, 3, 1, 0) if is_kernel else value)
    return problems


def _published_shape(variable):
    shape = tuple(variable.shape)
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape


def _load_keras(network, path):
    """Sets the variables from a Keras file; returns what does not fit."""
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        return [f"{type(error).__name__}: {error}"]
    return [
        f"{variable.path}: expected finite numbers, found others"
        for variable in network.variables
        if not np.isfinite(variable.numpy()).all()
    ]
