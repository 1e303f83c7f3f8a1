"""Pictures and label maps of a model server, by the local API's methods."""

import dataclasses
import io
import json
import math
import os

import numpy as np
from PIL import Image

from oasis_tf import model_files
from oasis_tf.data import reading
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.data.label_map import restore
from oasis_tf.inference import inputs
from oasis_tf.inference import noise as noise_lib
from oasis_tf.models.noise import feather as feather_mask
from oasis_tf.serving.calls import Call
from oasis_tf.serving.calls import Limits
from oasis_tf.serving.grpc_transport import GrpcTransport
from oasis_tf.serving.rest_transport import RestTransport
from oasis_tf.serving.transports import Address
from oasis_tf.serving.transports import Certificates
from oasis_tf.serving.transports import ModelSpec


class Client:
    """Draws pictures and finds label maps on a model server.

        with Client("grpc://localhost:8500") as client:
            image = client.generate("map.png", seed=3)  # [H, W, 3]
            images = client.generate("map.png", range(8))  # [8, H, W, 3]
            image = client.resample("map.png", 3, 4, class_name="tree")
            label_map = client.segment("photo.jpg")  # [H, W]

    The server is TensorFlow Serving or `python -m oasis_tf.serve`, the models
    are exports of `python -m oasis_tf.export`. What comes is what
    `load_generator` and `load_segmenter` give for the same arguments, but that
    the numbers in a palette file are ids, whatever the model was trained on.
    Pictures are transferred without loss; an export with image_format="jpeg"
    has lost before.

    Several threads may use a client. `close` or the end of a `with` gives its
    connections back.

    Args:
        address: "grpc://host:8500" or "http://host:8501"; "grpcs://" with TLS,
            "https://" for a proxy with TLS. Without a port 8500 for gRPC and
            the usual ones for HTTP.
        generator, segmenter: names of the models on the server.
        version: int; None for the newest.
        label: of a version, instead.
        timeout: seconds for a whole call of a method, with all its requests and
            retries; None for any time. Over REST the server has its own limit.
        retries: how often a request is tried again when the server is
            UNAVAILABLE, with pauses that grow: 4 retries take about 3 s, 10
            about 25 s. Of other errors none is.
        max_batch_size: pictures to ask for in a request: of 256 x 256 or
            smaller, accordingly fewer of larger ones.
        max_message_bytes: of a request or an answer. Seeds that need more are
            asked for in several requests.
        root_certificates: path of a PEM file to trust instead of the usual
            ones, for TLS.
        client_certificate, client_key: paths of PEM files, for a server that
            asks who the client is.

    Raises:
        ValueError: if an argument is not as it must be. Nothing is sent yet.
    """

    def __init__(
        self,
        address,
        generator=model_files.GENERATOR,
        segmenter=model_files.SEGMENTER,
        version=None,
        label=None,
        timeout=60,
        retries=4,
        max_batch_size=8,
        max_message_bytes=2**26,
        root_certificates=None,
        client_certificate=None,
        client_key=None,
    ):
        self._models = {
            "generator": ModelSpec(generator, version, label),
            "segmenter": ModelSpec(segmenter, version, label),
        }
        self._limits = Limits(
            timeout, retries, max_batch_size, max_message_bytes
        )
        address = Address.parse(address)
        transport = GrpcTransport if address.is_grpc else RestTransport
        certificates = Certificates(
            root_certificates, client_certificate, client_key
        )
        self._transport = transport(address, max_message_bytes, certificates)
        self._is_closed = False
        self._facts_of = {}  # Of models; threads may ask for the same twice.

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        """Closes the connections; calls in flight may fail."""
        self._is_closed = True
        self._transport.close()

    @property
    def info(self):
        """`DatasetInfo` of the generator: the classes and their ids.

        Asked for once, like what else is to know of a model.
        """
        info, _ = self._facts(self._begin(), "generator")
        return info

    @property
    def size_multiple(self):
        """Height and width of a label map must be multiples of it."""
        _, facts = self._facts(self._begin(), "generator")
        return facts["size_multiple"]

    def status(self, model=None):
        """Asks for the versions of a model.

        Args:
            model: its name; None for the generator.

        Returns:
            list of `VersionStatus`, the newest first: `version` and `state`,
            "AVAILABLE" if it answers. Of the client's version alone, if it has
            one.

        Raises:
            ServingError: if the server has no such model, or is not there.
        """
        spec = self._models["generator"]
        if model is not None:
            spec = dataclasses.replace(spec, name=model)
        versions = self._begin().status(spec)
        return sorted(versions, key=lambda v: v.version, reverse=True)

    def read(self, label_map, resize=False):
        """Returns a label map as the generator takes it.

        Args:
            label_map: `[H, W]` integer array in the data set's own ids, or the
                path of a label file.
            resize: True to bring it to the nearest size that the generator
                works in, (height, width) to bring it to that size.

        Returns:
            `[H, W]`, int32 array. Labels, 0..S-1.

        Raises:
            ValueError: if it is none of the data set's label maps, or of a
                size that the generator does not work in.
            ServingError: if the server does not tell these.
        """
        _, labels = self._read(self._begin(), label_map, resize)
        return labels

    def generate(self, label_map, seed=0, resize=False):
        """Draws pictures of a label map.

        Args:
            label_map, resize: as for `read`.
            seed: int, or several of them: each another look.

        Returns:
            `[H, W, 3]`, uint8; `[n, H, W, 3]` for several seeds.

        Raises:
            ValueError: as `read` does, or if a seed is none.
            ServingError: if the server does not draw.
        """
        call = self._begin()
        info, _ = self._facts(call, "generator")
        _, labels = self._read(call, label_map, resize)
        file = _encode(labels, info)
        is_single = np.ndim(seed) == 0
        rows = [
            {"label_map_bytes": file, "seed": one}
            for one in _seeds([seed] if is_single else seed)
        ]
        images = self._draw(call, "synthesize_png", rows, labels.shape)
        return images[0] if is_single else images

    def draw(self, label_maps, seeds):
        """Draws pictures of several label maps, in as many requests as needed.

        Args:
            label_maps: n `[H, W]` int32 arrays of one size, as `read` returns
                them, at least one. Labels, 0..S-1.
            seeds: n ints.

        Returns:
            `[n, H, W, 3]`, uint8, in that order.

        Raises:
            ValueError: if the numbers or the sizes differ, or a seed is none.
            ServingError: if the server does not draw.
        """
        call = self._begin()
        info, _ = self._facts(call, "generator")
        label_maps, seeds = list(map(np.asarray, label_maps)), _seeds(seeds)
        shapes = [labels.shape for labels in label_maps]
        is_one_size = len(set(shapes)) == 1 and len(shapes[0]) == 2
        are_ints = all(labels.dtype.kind in "iu" for labels in label_maps)
        if not (is_one_size and are_ints and len(seeds) == len(shapes)):
            raise ValueError(
                "`label_maps` must be one or more integer arrays of one shape "
                f"[H, W], with a seed for each. Received: shapes {shapes}, "
                f"{len(seeds)} seeds."
            )
        rows = [
            {"label_map_bytes": _encode(labels, info), "seed": seed}
            for labels, seed in zip(label_maps, seeds)
        ]
        return self._draw(call, "synthesize_png", rows, shapes[0])

    def resample(
        self,
        label_map,
        seed,
        local_seed,
        mask=None,
        class_name=None,
        region=None,
        feather=0,
        resize=False,
    ):
        """Draws pictures of a label map with other noise in a part of it.

            image = client.resample("map.png", 3, 4, region=(120, 200))

        Args:
            label_map, resize: as for `read`.
            seed: int. Of the noise elsewhere.
            local_seed: int, or several of them. Of the noise in the part.
            mask: `[H, W]` array, whose pixels other than 0 are the part, or the
                path of an image file that is bright there.
            class_name: instead, the class whose pixels are the part.
            region: instead, (x, y) of a pixel in the label map, from the left
                and the top: the connected region of one class there is it.
            feather: pixels inside the part's border over which the noise goes
                from the one to the other; 0 for a sharp border.

        Returns:
            `[H, W, 3]`, uint8; `[n, H, W, 3]` for several local seeds.

        Raises:
            ValueError: as `read` does; if a seed, the mask, the class or the
                region is none, or if the generator takes no noise.
            ServingError: if the server does not draw.
        """
        call = self._begin()
        info, facts = self._facts(call, "generator")
        if facts["noise_channels"] == 0:
            raise ValueError(
                "The model must have been trained with noise. Received: one "
                "trained with generator.noise=none."
            )
        original, labels = self._read(call, label_map, resize)
        mask = _find_mask(original, labels, info, mask, class_name, region)
        share = feather_mask(mask, feather)
        if feather:
            signature = "resample"
            where = {"label_map": labels, "noise_mask": share}
        else:
            signature = "resample_png"
            white = np.uint8(255 * mask)
            where = {
                "label_map_bytes": _encode(labels, info),
                "noise_mask_bytes": reading.encode_label_map(white),
            }
        is_single = np.ndim(local_seed) == 0
        [seed] = _seeds([seed])
        rows = [
            where | {"seed": seed, "local_seed": one}
            for one in _seeds([local_seed] if is_single else local_seed)
        ]
        images = self._draw(call, signature, rows, labels.shape)
        return images[0] if is_single else images

    def segment(self, image, resize=False):
        """Finds the class of every pixel; never "fake", never don't-care.

        Args:
            image: `[H, W, 3]` uint8 array, or the path of an image file.
            resize: True to segment at the nearest size that the segmenter works
                in, (height, width) to segment at that size; the label map still
                has the image's.

        Returns:
            `[H, W]`, uint8 or uint16, in the data set's own ids.

        Raises:
            ValueError: if it is no image, or of a size that the segmenter does
                not work in.
            ServingError: if the server does not segment.
        """
        call = self._begin()
        _, facts = self._facts(call, "segmenter")
        pixels = inputs.read_image(image)
        size = _target_size("image", image, pixels, facts, resize)
        file = reading.encode_image(inputs.resize_image(pixels, size))
        [output] = call.predict(
            self._models["segmenter"], "segment_png", [{"image_bytes": file}]
        )
        return inputs.resize_label_map(_decode(output), pixels.shape[:2])

    def _begin(self):
        """Returns the `Call` that a method begins with."""
        if self._is_closed:
            raise ValueError(
                "The client must be open. Received: one that was closed."
            )
        return Call(self._transport, self._limits)

    def _facts(self, call, kind):
        """Returns the `DatasetInfo` and the facts of a "generator", ..."""
        if kind not in self._facts_of:
            model = self._models[kind]
            rows = [{"key": b"dataset_info"}, {"key": b"model"}]
            info, facts = call.predict(model, "describe", rows)
            info, facts = DatasetInfo.from_json(info), json.loads(facts)
            if facts["kind"] != kind:
                raise ValueError(
                    f"`{kind}` must be the name of one. Received: "
                    f"{model.name!r}, which is a {facts['kind']}."
                )
            self._facts_of[kind] = info, facts
        return self._facts_of[kind]

    def _read(self, call, label_map, resize):
        """Returns the labels as they come, and as the generator takes them."""
        info, facts = self._facts(call, "generator")
        if isinstance(label_map, (str, os.PathLike)):
            labels = reading.read_label_map(label_map, info)
        else:
            labels = inputs.read_label_map(label_map, info, config=None)
        size = _target_size("label_map", label_map, labels, facts, resize)
        return labels, inputs.resize_label_map(labels, size)

    def _draw(self, call, signature, rows, size):
        """Returns the pictures of rows of one size, `[n, H, W, 3]`."""
        _, facts = self._facts(call, "generator")
        outputs = call.predict(
            self._models["generator"],
            signature,
            rows,
            math.prod(size),
            facts["max_pixels"],
        )
        return np.stack([_decode(output) for output in outputs])


def _target_size(name, source, pixels, facts, resize):
    """Returns the (height, width) that a model takes something in."""
    if isinstance(source, (str, os.PathLike)):
        name = os.fspath(source)
    size = inputs.target_size(
        name,
        pixels.shape[:2],
        facts["size_multiple"],
        resize,
        tuple(facts["image_size"]),
    )
    if math.prod(size) > facts["max_pixels"]:
        raise ValueError(
            f"Height times width of `{name}` must be at most "
            f"{facts['max_pixels']} for the server's model. Received: "
            f"(height, width)={tuple(size)}."
        )
    return size


def _find_mask(original, labels, info, mask, class_name, region):
    """Returns which pixels get other noise, `[H, W]`, bool.

    Masks and regions are in pixels of the label map as it came.
    """
    given = {"mask": mask, "class_name": class_name, "region": region}
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(
            "One of `mask`, `class_name` and `region` must be given. Received: "
            f"{', '.join(names) or 'none of them'}."
        )
    if class_name is not None:
        return noise_lib.class_mask(labels, info, class_name)
    if mask is not None:
        mask = inputs.read_mask(mask, original.shape)
    else:
        if (
            np.shape(region) != (2,)
            or np.asarray(region).dtype.kind not in "iu"
        ):
            raise ValueError(
                "`region` must be two whole numbers (x, y). Received: "
                f"{region!r}."
            )
        mask = noise_lib.region_mask(original, *region)
    resized = inputs.resize_label_map(mask, labels.shape)
    if not resized.any():
        raise ValueError(
            f"What gets other noise must have pixels at {labels.shape}. "
            f"Received: {mask.sum()} of {mask.shape}, none of which is left."
        )
    return resized


def _seeds(seeds):
    seeds = list(seeds)
    for seed in seeds:
        noise_lib.check_seed(seed)
    return [int(seed) for seed in seeds]


def _encode(labels, info):
    return reading.encode_label_map(restore(labels, info))


def _decode(output):
    """Returns the pixels of an output, which is a file or an array."""
    if isinstance(output, bytes):
        return np.array(Image.open(io.BytesIO(output)))
    return np.asarray(output, np.uint8)
