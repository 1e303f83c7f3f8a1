"""LPIPS: how far two pictures are apart in the features of a network."""

import dataclasses

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import ops

from oasis_tf import state_dict

# Of pictures in [-1, 1], by colour channel.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10

_LINEAR_URL = (
    "https://github.com/richzhang/PerceptualSimilarity, lpips/weights/v0.1/"
)


@dataclasses.dataclass(frozen=True)
class _Net:
    """A backbone: its layers, and what is published for it.

    Args:
        title: its name in messages.
        groups: (pooling window before it or None, convolutions) by group; a
            convolution is (channels, kernel size, stride, padding). The
            features are those of each group's last convolution.
        min_size: pixels; smaller pictures leave nothing to the last group.
        url: of the weights trained on ImageNet.
        sha256: with what that file's begins, as its name says.
        linear_sha256: with what that of the file of linear weights begins.
    """

    title: str
    groups: tuple
    min_size: int
    url: str
    sha256: str
    linear_sha256: str

    def convolutions(self):
        """Returns [[name in torchvision, ...] of each group]."""
        names, index = [], 0
        for pool, convolutions in self.groups:
            index += pool is not None
            # An activation after each counts too.
            names.append(
                [f"features.{index + 2 * i}" for i in range(len(convolutions))]
            )
            index += 2 * len(convolutions)
        return names


NETS = {
    "alex": _Net(
        title="AlexNet",
        groups=(
            (None, [(64, 11, 4, 2)]),
            (3, [(192, 5, 1, 2)]),
            (3, [(384, 3, 1, 1)]),
            (None, [(256, 3, 1, 1)]),
            (None, [(256, 3, 1, 1)]),
        ),
        min_size=31,
        url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        sha256="7be5be79",
        linear_sha256="df73285e",
    ),
    "vgg": _Net(
        title="VGG16",
        groups=(
            (None, [(64, 3, 1, 1)] * 2),
            (2, [(128, 3, 1, 1)] * 2),
            (2, [(256, 3, 1, 1)] * 3),
            (2, [(512, 3, 1, 1)] * 3),
            (2, [(512, 3, 1, 1)] * 3),
        ),
        min_size=16,
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        sha256="397923af",
        linear_sha256="a78928a0",
    ),
}
"""The backbones, by the names that the lpips package gives them."""


class LPIPS:
    """Learned perceptual image patch similarity, version 0.1.

        d(x, y) = sum_l mean_{h,w} sum_c w_lc (f_lc(x) - f_lc(y))^2

    with f the activations of five layers of a network trained on ImageNet, at
    each place divided by their length over the channels, and w >= 0 fitted to
    what people see. 0 for equal pictures, more for more different ones.

        lpips = LPIPS.load(
            backbone="alexnet-owt-7be5be79.pth", linear="alex.pth"
        )
        lpips.distance(first, second)

    Made by `load`, or `random` where there are no published weights.

    Attributes:
        net: "alex" or "vgg".
        is_comparable: whether the weights are the published ones. If not, show
            no number without "not comparable to published ones".

    Source: Zhang et al. (arXiv:1801.03924), Eq. 1. The scaling of the pictures
        and the epsilon are those of version 0.1 of the authors' package.
    """

    def __init__(self, net, is_comparable=False):
        if net not in NETS:
            raise ValueError(
                f"`net` must be one of {', '.join(NETS)}. Received: {net!r}."
            )
        self.net = net
        self.is_comparable = is_comparable
        self._network = _build(NETS[net])
        self._features = tf.function(self._network, reduce_retracing=True)

    @classmethod
    def load(cls, weights=None, net="alex", *, backbone=None, linear=None):
        """Loads weights from one file of `save`, or two of PyTorch's.

        They are the published ones (`is_comparable`) if the two files are, bit
        by bit; `save` keeps that.

        Args:
            weights: a `.weights.h5` file that `save` wrote.
            net: "alex" for AlexNet, or "vgg" for VGG16.
            backbone: the network's weights as torchvision publishes them,
                `alexnet-owt-7be5be79.pth` or `vgg16-397923af.pth`.
            linear: the linear layers as the lpips package (0.1.4) has them in
                `weights/v0.1`, `alex.pth` or `vgg.pth`.

        Returns:
            `LPIPS`.

        Raises:
            ValueError: if a file is missing, broken or another one, or PyTorch
                is not installed, which the `.pth` files take.
        """
        given = tuple(f is not None for f in (weights, backbone, linear))
        if given not in ((True, False, False), (False, True, True)):
            raise ValueError(
                "Weights must be either `weights`, or both `backbone` and "
                f"`linear`. Received: weights={weights!r}, backbone="
                f"{backbone!r}, linear={linear!r}."
            )
        lpips = cls(net)
        if weights is None:
            lpips._load_pytorch(backbone, linear)
        else:
            lpips._load_keras(weights)
        return lpips

    @classmethod
    def random(cls, net="alex", seed=0):
        """Returns one with a fixed random backbone and linear weights of 1.

        For work without the published weights: its numbers rank pictures
        roughly and compare with others of the same net and seed only.

        Args:
            net: "alex" or "vgg".
            seed: int. Of the kernels, drawn by He et al.'s rule.

        Returns:
            `LPIPS`, not comparable.
        """
        lpips = cls(net)
        rng = np.random.RandomState(seed)
        for names in NETS[net].convolutions():
            for name in names:
                kernel = lpips._layer(name).kernel
                scale = np.sqrt(2 / np.prod(kernel.shape[:3]))
                kernel.assign(scale * rng.standard_normal(kernel.shape))
        return lpips

    def save(self, path):
        """Writes the weights for `load`, which then takes no PyTorch.

        Args:
            path: of a new file; ends in `.weights.h5`.

        Raises:
            ValueError: if it ends otherwise.
        """
        _check_h5_name("path", path)
        self._network.save_weights(path)
        with h5py.File(path, "a") as file:
            file.attrs["net"] = self.net
            file.attrs["is_comparable"] = self.is_comparable

    def distance(self, first, second):
        """Returns how far pairs of pictures are apart.

        Args:
            first, second: `[B, H, W, 3]`, uint8, or float in [-1, 1]. H and W
                at least 31 for AlexNet, 16 for VGG16.

        Returns:
            `[B]`, float32, at least 0.

        Raises:
            ValueError: if the pictures are of another kind or too small.
        """
        return tf.add_n(
            [
                tf.reduce_mean(change, axis=(1, 2))
                for change in self._changes(first, second)
            ]
        )

    def distance_map(self, first, second):
        """Returns how far pairs of pictures are apart, place by place.

        Each layer's part is brought to the pictures' size by bilinear
        interpolation. A place's value depends on its surroundings too: on 163
        pixels across for AlexNet's last layer, on 196 for VGG16's.

        Args:
            first, second: as for `distance`.

        Returns:
            `[B, H, W]`, float32, at least 0.

        Raises:
            ValueError: as `distance` does.
        """
        size = tf.shape(first)[1:3]
        maps = [
            tf.image.resize(change[..., None], size)
            for change in self._changes(first, second)
        ]
        return tf.add_n(maps)[..., 0]

    def embed(self, images):
        """Returns vectors whose squared Euclidean distance is `distance`.

        As the linear weights are not negative, their roots can be multiplied
        into the features. For many pairs of few pictures: the network sees
        each picture once.

        Args:
            images: as for `distance`.

        Returns:
            `[B, D]`, float32, with D of `embedding_size`.

        Raises:
            ValueError: as `distance` does.
        """
        parts = []
        for features in self._features(self._to_network(images)):
            shape = tf.shape(features)
            places = tf.cast(shape[1] * shape[2], tf.float32)
            parts.append(tf.reshape(features, [shape[0], -1]) / tf.sqrt(places))
        return tf.concat(parts, axis=1)

    def embedding_size(self, height, width):
        """Returns the length D of what `embed` returns for pictures of a size.

        For 256 x 256 pixels 0.6 million with AlexNet, 8 million with VGG16.
        """
        shapes = self._network.compute_output_shape((1, height, width, 3))
        return int(sum(np.prod(shape) for shape in shapes))

    def _changes(self, first, second):
        """Returns `[B, h, w]` of each layer, the weighted sum over channels."""
        first, second = (
            tf.convert_to_tensor(first),
            tf.convert_to_tensor(second),
        )
        if not first.shape.is_compatible_with(second.shape):
            raise ValueError(
                "`first` and `second` must have one shape. Received: "
                f"{first.shape} and {second.shape}."
            )
        return [
            tf.reduce_sum(tf.math.squared_difference(a, b), axis=-1)
            for a, b in zip(
                self._features(self._to_network(first)),
                self._features(self._to_network(second)),
            )
        ]

    def _to_network(self, images):
        """Returns pictures as the network takes them."""
        images = tf.convert_to_tensor(images)
        is_known = images.dtype == tf.uint8 or images.dtype.is_floating
        if images.shape.rank != 4 or images.shape[-1] != 3 or not is_known:
            raise ValueError(
                "Pictures must have the shape [B, H, W, 3], and be uint8 or "
                f"float. Received: {images.dtype.name} {images.shape}."
            )
        min_size = NETS[self.net].min_size
        sides = [side for side in images.shape[1:3] if side is not None]
        if any(side < min_size for side in sides):
            raise ValueError(
                f"Pictures must be at least {min_size} pixels high and wide "
                f"for {NETS[self.net].title}. Received: {images.shape}."
            )
        if images.dtype == tf.uint8:
            images = tf.cast(images, tf.float32) / 127.5 - 1
        return (tf.cast(images, tf.float32) - _SHIFT) / _SCALE

    def _layer(self, name):
        return self._network.get_layer(name.replace(".", "_"))

    def _load_keras(self, path):
        expected = f"a file that `LPIPS.save` wrote for net={self.net!r}"
        _check_h5_name("weights", path)
        try:
            with h5py.File(path, "r") as file:
                net = file.attrs.get("net")
                is_comparable = bool(file.attrs.get("is_comparable", False))
            if net == self.net:
                self._network.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"`weights` must be {expected}. Received: {str(path)!r} "
                f"({error})."
            ) from error
        if net != self.net:
            raise ValueError(
                f"`weights` must be {expected}. Received: {str(path)!r}, "
                f"written for net={net!r}."
            )
        self.is_comparable = is_comparable

    def _load_pytorch(self, backbone, linear):
        facts = NETS[self.net]
        tensors = _Tensors(
            "backbone",
            backbone,
            f"{facts.title}'s weights as torchvision publishes them, "
            f"{facts.url}",
        )
        for names in facts.convolutions():
            for name in names:
                layer = self._layer(name)
                height, width, inputs, outputs = layer.kernel.shape
                kernel = tensors.take(
                    f"{name}.weight", (outputs, inputs, height, width)
                )
                layer.kernel.assign(np.transpose(kernel, (2, 3, 1, 0)))
                layer.bias.assign(tensors.take(f"{name}.bias", (outputs,)))
        linear_tensors = _Tensors(
            "linear",
            linear,
            f"the linear layers for {facts.title}, {self.net}.pth in "
            f"{_LINEAR_URL}",
        )
        for i in range(len(facts.groups)):
            layer = self._layer(f"linear_{i}")
            name = f"lin{i}.model.1.weight"
            (channels,) = layer.linear.shape
            values = linear_tensors.take(name, (1, channels, 1, 1)).ravel()
            if not (values >= 0).all():
                raise linear_tensors.error(
                    f"{name!r} that is not at least 0 throughout"
                )
            layer.linear.assign(values)
        self.is_comparable = tensors.sha256.startswith(
            facts.sha256
        ) and linear_tensors.sha256.startswith(facts.linear_sha256)


class _Tensors:
    """The tensors of a PyTorch file, and what to say if they are others."""

    def __init__(self, argument, path, expected):
        self._argument = argument
        self._path = path
        self._expected = expected
        try:
            self._tensors = state_dict.read(path)
        except ValueError as error:
            raise self.error(str(error)) from error
        self.sha256 = state_dict.sha256(path)

    def take(self, name, shape):
        """Returns one tensor; a ValueError if it is not there or not such."""
        if name not in self._tensors:
            some = ", ".join(map(repr, list(self._tensors)[:3]))
            raise self.error(f"no {name!r} among {some} and so on")
        tensor = self._tensors[name]
        if tensor.shape != shape:
            raise self.error(f"{name!r} of shape {tensor.shape}, not {shape}")
        return tensor

    def error(self, found):
        return ValueError(
            f"`{self._argument}` must be {self._expected}. Received: "
            f"{str(self._path)!r} ({found})."
        )


class _UnitFeatures(keras.layers.Layer):
    """Features of length 1 over the channels, times the linear layer's roots.

    The squared difference of two, summed over the channels, is then what the
    linear layer makes of the unit features' squared differences.
    """

    def build(self, shape):
        self.linear = self.add_weight(
            shape=(shape[-1],), initializer="ones", name="linear"
        )

    def call(self, features):
        squares = ops.sum(ops.square(features), axis=-1, keepdims=True)
        return features / (ops.sqrt(squares) + _EPSILON) * ops.sqrt(self.linear)


def _build(facts):
    """Returns the network, `[B, H, W, 3]` -> `[B, h, w, C]` of each group."""
    x = image = keras.Input([None, None, 3], dtype="float32")
    outputs = []
    for i, (pool, convolutions) in enumerate(facts.groups):
        if pool is not None:
            x = keras.layers.MaxPooling2D(pool, strides=2, dtype="float32")(x)
        names = facts.convolutions()[i]
        for name, (channels, size, strides, padding) in zip(
            names, convolutions
        ):
            # On both sides alike, also where the stride is not 1.
            x = keras.layers.ZeroPadding2D(padding, dtype="float32")(x)
            x = keras.layers.Conv2D(
                channels,
                size,
                strides,
                activation="relu",
                dtype="float32",
                name=name.replace(".", "_"),
            )(x)
        outputs.append(_UnitFeatures(dtype="float32", name=f"linear_{i}")(x))
    network = keras.Model(image, outputs, name=f"lpips_{facts.title.lower()}")
    network.trainable = False
    return network


def _check_h5_name(argument, path):
    if not str(path).endswith(".weights.h5"):
        raise ValueError(
            f"`{argument}` must end in .weights.h5. Received: {str(path)!r}."
        )
