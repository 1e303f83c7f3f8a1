"""Finds a data set by name, prepares it once and gives access to it."""

import contextlib
import difflib
import fcntl
import functools
import hashlib
import importlib
import io
import os
import pathlib
import shutil

import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core import registered

from oasis_tf.data import pairs
from oasis_tf.data.dataset import DatasetInfo

NAMES = (
    "toy_scenes",
    "coco_stuff",
    "ade20k",
    "ade20k_outdoors",
    "cityscapes",
    "folder",
)

_INFO_FILE = "dataset.json"  # Written last: prepared data with it is whole.


class Dataset:
    """Prepared data: what labels mean, and any example by its number.

    Args:
        prepared_dir: path that holds the prepared data of one data set.
    """

    def __init__(self, prepared_dir):
        prepared_dir = pathlib.Path(prepared_dir)
        info_file = prepared_dir / _INFO_FILE
        self._sources = {}
        self.info = DatasetInfo.from_json(info_file.read_text())
        (features_file,) = prepared_dir.glob("**/features.json")
        self._builder = tfds.builder_from_directory(features_file.parent)
        self.prepared_dir = prepared_dir

    @functools.cached_property
    def num_examples(self):
        """dict of split ("train", "validation") -> number of examples."""
        splits = self._builder.info.splits
        return {
            split: splits[split].num_examples if split in splits else 0
            for split in ("train", "validation")
        }

    @functools.cached_property
    def num_bytes(self):
        """dict of split -> bytes of its examples; other data, other sizes."""
        splits = self._builder.info.splits
        # As plain numbers: TFDS's own are written in changing units.
        return {split: int(splits[split].num_bytes) for split in splits}

    def read(self, split, indices):
        """Returns serialized examples.

        Args:
            split: "train" or "validation".
            indices: list of ints, 0..num_examples[split]-1.

        Returns:
            list of bytes, for `decode`.
        """
        return self._source(split).__getitems__([int(i) for i in indices])

    def decode(self, serialized):
        """Returns an example as tensors; works inside a graph.

        Args:
            serialized: scalar string tensor, from `read`.

        Returns:
            dict of `image` `[h, w, 3]`, uint8; `label_map` `[h, w, 1]`, uint8
            or uint16, labels 0..S-1; `name`, string.
        """
        return self._builder.info.features.deserialize_example(serialized)

    def _source(self, split):
        if not self.num_examples.get(split):
            raise ValueError(
                "`split` must be one that the data has. Received: "
                f"{split!r}, of {self.num_examples}."
            )
        if split not in self._sources:
            self._sources[split] = self._builder.as_data_source(
                split,
                deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES,
            )
        return self._sources[split]


def load(dataset, data_dir, config, image_size):
    """Returns a data set, prepared now or before.

    Prepared data lies in `config.prepared_dir`, in a folder named after the
    settings and after the names, sizes and times of the raw files: it is used
    as long as those are the same.

    Args:
        dataset: one of `NAMES`.
        data_dir: path of the raw data; None or "" for data that is generated
            or downloaded.
        config: `DataConfig`.
        image_size: (height, width) of the run's images; generated data is
            made at this size, or at `load_size` where that is set.

    Returns:
        `Dataset`.

    Raises:
        DataError: if raw data is missing or bad; says which and why.
        ValueError: if there is no such data set or a setting is wrong.
    """
    builder_class = find_builder(dataset)
    raw_dir = resolve_data_dir(builder_class, data_dir)
    make_builder = functools.partial(
        builder_class.from_settings,
        config,
        image_size,
        raw_dir,
        on_problem=config.on_problem,
        show_progress=True,
    )
    root = pathlib.Path(config.prepared_dir or _default_root()).expanduser()
    digest = _digest(make_builder(data_dir=root), raw_dir)
    prepared_dir = root / f"{dataset}-{digest}"
    with _lock(root / f"{dataset}-{digest}.lock"):
        if not (prepared_dir / _INFO_FILE).exists():
            shutil.rmtree(prepared_dir, ignore_errors=True)  # Half done.
            _prepare(make_builder(data_dir=prepared_dir), raw_dir, root)
    return Dataset(prepared_dir)


def find_builder(dataset):
    """Returns the TFDS builder class of a data set.

    Args:
        dataset: one of `NAMES`.

    Raises:
        ValueError: if there is no such data set.
    """
    if dataset not in NAMES:
        near = difflib.get_close_matches(dataset, NAMES, n=1, cutoff=0.5)
        raise ValueError(
            f"`dataset` must be one of {', '.join(NAMES)}. Received: "
            f"{dataset!r}." + (f" Did you mean {near[0]!r}?" if near else "")
        )
    return importlib.import_module(f"oasis_tf.data.{dataset}").Builder


def resolve_data_dir(builder_class, data_dir):
    """Returns the absolute path of the raw data, or None for none.

    Args:
        builder_class: subclass of `SegmentationBuilder`.
        data_dir: path, None or "".

    Raises:
        DataError: if the data has to be there and is not.
    """
    if not data_dir:
        if builder_class.needs_data_dir():
            raise pairs.DataError(
                f"`--data_dir` must name the folder of {builder_class.name!r}. "
                f"{builder_class.MANUAL_DOWNLOAD_INSTRUCTIONS.strip()} "
                f"Received: {data_dir!r}."
            )
        return None
    if builder_class.IS_GENERATED:
        raise pairs.DataError(
            f"{builder_class.name!r} is generated and takes no `--data_dir`. "
            f"Received: {data_dir!r}."
        )
    raw_dir = pathlib.Path(data_dir).expanduser().resolve()
    if not raw_dir.is_dir():
        raise pairs.DataError(
            "`--data_dir` must be a folder. Received: "
            f"{pairs.describe_folder(raw_dir)}."
        )
    return raw_dir


def _default_root():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "oasis_tf"


def _digest(builder, raw_dir):
    """Returns what changes when other data would be prepared."""
    key = hashlib.sha256()

    def add(*parts):
        key.update(repr(parts).encode())

    add(builder.name, str(builder.version), builder.on_problem)
    if builder.builder_config:
        add(builder.builder_config.name)
    if raw_dir:
        add(str(raw_dir))
        files = builder.settings_files()
        for split, listing in builder.list_pairs([raw_dir]).items():
            add(split, [pair.name for pair in listing.pairs])
            files += [pair.image for pair in listing.pairs]
            files += [pair.label for pair in listing.pairs]
            files += [problem.path for problem in listing.problems]
        for path in files:
            try:
                status = os.stat(path)
            except OSError:  # A link to nothing: told when it is read.
                add(str(path))
            else:
                add(str(path), status.st_size, status.st_mtime_ns)
    return key.hexdigest()[:16]


@contextlib.contextmanager
def _lock(path):
    """Lets one process at a time in; a killed one's lock is free again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w")
    except OSError as error:
        raise ValueError(
            "`data.prepared_dir` must be a folder that can be written to. "
            f"Received: {str(path.parent)!r} ({error.strerror})."
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("Waiting for another process that prepares %s.", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prepare(builder, raw_dir, root):
    logging.info("Preparing %s in %s.", builder.name, builder.data_dir)
    download_config = tfds.download.DownloadConfig(
        manual_dir=raw_dir, try_download_gcs=False
    )
    is_downloaded = raw_dir is None and not builder.IS_GENERATED
    if is_downloaded:  # TFDS shows how far it is.
        redirected = contextlib.nullcontext()
    else:  # It also prints how many bytes it downloads where it does not.
        tfds.disable_progress_bar()
        redirected = contextlib.redirect_stdout(io.StringIO())
    try:
        with redirected:
            builder.download_and_prepare(
                download_dir=root / "downloads",
                download_config=download_config,
                file_format="array_record",
            )
    finally:
        tfds.enable_progress_bar()
    info_file = pathlib.Path(builder.data_dir_root) / _INFO_FILE
    part = info_file.with_suffix(".part")
    part.write_text(builder.INFO.to_json())
    part.rename(info_file)


class _BuilderProvider(registered.DatasetBuilderProvider):
    """Makes `NAMES` known to `tfds.load` without importing their modules."""

    def has_dataset(self, name):
        return name in NAMES

    def get_builder_cls(self, name):
        return find_builder(name)


# In front, for TFDS has a `cityscapes` of its own.
registered.add_dataset_builder_provider(_BuilderProvider(), index=0)
