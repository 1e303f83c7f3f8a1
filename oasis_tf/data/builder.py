"""The base of the TFDS builders: from pairs of files to prepared data."""

import abc
import collections
import concurrent.futures
import itertools
import os
import pathlib

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from absl import logging

from oasis_tf.data import pairs
from oasis_tf.data import reading

_PAIRS_IN_FLIGHT = 64  # Examples read ahead of the one being written.


class SegmentationBuilder(
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """TFDS builder of images with label maps.

    A data set is a subclass which states facts and lists files; reading,
    checking, remapping and writing happen here. In
    `oasis_tf/data/coco_stuff/builder.py` (`__init__.py` there imports
    `Builder`; `oasis_tf.data.NAMES` has the name):

        class Builder(builder.SegmentationBuilder):
            '''Text about the data set.'''

            name = "coco_stuff"
            VERSION = tfds.core.Version("1.0.0")
            RELEASE_NOTES = {"1.0.0": "First release."}
            MANUAL_DOWNLOAD_INSTRUCTIONS = "..."
            INFO = dataset.DatasetInfo(name="coco_stuff", ...)
            HOMEPAGE = "https://..."
            CITATION = "@inproceedings{...}"

            def list_pairs(self, raw_dirs):
                folder = functools.partial(pairs.find_folder, raw_dirs)
                return {
                    "train": pairs.pair_folders(
                        folder(["train_img", "train2017"], "training images"),
                        folder(["train_label"], "training label maps"),
                    ),
                    "validation": ...,
                }

            def download(self, dl_manager):
                paths = dl_manager.download_and_extract({...})
                return list(paths.values())

    Importing the subclass's module makes it known to `tfds.load`. Examples
    have the features `image` (uint8), `label_map` (labels: don't-care is 0)
    and `name`.

    Args:
        on_problem: what to do about files with a problem: "refuse" to prepare
            the data, or "skip" them.
        show_progress: whether to draw a progress bar besides those of TFDS.
        **kwargs: see `tfds.core.DatasetBuilder`.
    """

    INFO = None
    """`DatasetInfo`: what the labels mean."""
    PALETTE = None
    """dict of colour -> id, where label files are read by their colours."""
    HOMEPAGE = ""
    CITATION = ""
    IS_GENERATED = False
    """Whether there are no raw files: the examples are computed."""
    NUM_THREADS = None
    """Threads that read; None: one per processor."""

    def __init__(self, *, on_problem="refuse", show_progress=False, **kwargs):
        if on_problem not in ("refuse", "skip"):
            raise ValueError(
                '`on_problem` must be "refuse" or "skip". '
                f"Received: {on_problem!r}."
            )
        self.on_problem = on_problem
        self.show_progress = show_progress
        super().__init__(**kwargs)

    @classmethod
    def from_settings(cls, settings, image_size, raw_dir, **kwargs):
        """Returns the builder for a run's settings.

        Args:
            settings: `DataConfig`.
            image_size: (height, width) of the run's images.
            raw_dir: path of the user's data, or None.
            **kwargs: for the constructor.
        """
        del settings, image_size, raw_dir
        return cls(**kwargs)

    @classmethod
    def needs_data_dir(cls):
        """Whether the user has to bring the data."""
        return cls.download is SegmentationBuilder.download

    @abc.abstractmethod
    def list_pairs(self, raw_dirs):
        """Finds the files of every split.

        Args:
            raw_dirs: list of paths: the folder that the user names, or what
                `download` returned.

        Returns:
            dict of split ("train", "validation") -> `pairs.Listing`.

        Raises:
            DataError: if the folders are not there.
        """

    def download(self, dl_manager):
        """Downloads the data, where there is a public address.

        Args:
            dl_manager: `tfds.download.DownloadManager`.

        Returns:
            list of paths for `list_pairs`.
        """
        # Says that the folder is missing, and how to get the data.
        return [pathlib.Path(dl_manager.manual_dir)]

    def settings_files(self):
        """Returns the paths of further files that change what is prepared."""
        return []

    def read(self, pair):
        """Returns the `reading.Example` of a pair; raises `DataError`."""
        return reading.read(pair, self.INFO, self.PALETTE)

    @property
    def label_dtype(self):
        """Of the feature `label_map`."""
        return np.uint8 if self.INFO.semantic_channels <= 256 else np.uint16

    def hint(self, problems):
        """Returns advice for the user on some problems, or an empty text."""
        del problems
        return ""

    def _create_builder_config(self, builder_config, version):
        # TFDS warns of a configuration that its class does not list.
        if isinstance(builder_config, tfds.core.BuilderConfig):
            return builder_config
        return super()._create_builder_config(builder_config, version)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=type(self).__doc__,
            homepage=self.HOMEPAGE,
            citation=self.CITATION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label_map": tfds.features.Image(
                        shape=(None, None, 1),
                        dtype=self.label_dtype,
                        encoding_format="png",
                    ),
                    "name": tfds.features.Text(),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        if self.INFO is None:  # Where worked out from files: does so now.
            raise ValueError(f"`INFO` must be set. Received: {self.INFO}.")
        raw_dirs = self._raw_dirs(dl_manager)
        listings = self.list_pairs(raw_dirs)
        problems = []
        return {
            split: self._generate_examples(split, listings, problems, raw_dirs)
            for split in listings
        }

    def _raw_dirs(self, dl_manager):
        """Returns the user's folder, else what was downloaded."""
        if self.MANUAL_DOWNLOAD_INSTRUCTIONS:
            try:
                return [pathlib.Path(dl_manager.manual_dir)]
            except AssertionError:  # TFDS's word for: not there, or empty.
                pass
        try:
            return [pathlib.Path(d) for d in self.download(dl_manager)]
        except (OSError, tfds.download.DownloadError) as error:
            advice = (self.MANUAL_DOWNLOAD_INSTRUCTIONS or "").strip()
            raise pairs.DataError(
                f"{self.name!r} must be in `--data_dir` or downloadable. "
                f"{advice} Received: {type(error).__name__}: {error}"
            ) from error

    def _generate_examples(self, split, listings, problems, raw_dirs):
        """Yields the examples of a split.

        Where problems are refused and the split has some, the later splits
        are searched too, so that the user learns of everything at once.
        """
        refuse = self.on_problem == "refuse"
        num_good = 0
        for example in self._examples(split, listings[split], problems):
            num_good += 1
            if not (refuse and problems):
                yield example["name"], example
        if problems and refuse:
            splits = list(listings)
            for later in splits[splits.index(split) + 1 :]:
                for _ in self._examples(later, listings[later], problems):
                    pass
            raise pairs.DataError(self._refusal(problems, raw_dirs), problems)
        if not num_good:
            raise pairs.DataError(
                f"{self.name!r} must have at least one good pair for {split}. "
                f"Received: none in {', '.join(map(str, raw_dirs))}.",
                problems,
            )
        if problems:
            logging.warning(
                "%s: %d files with a problem are left out so far.",
                self.name,
                len(problems),
            )

    def _examples(self, split, listing, problems):
        """Yields a split's encoded examples; adds to `problems`."""
        problems.extend(listing.problems)
        for result in tqdm.tqdm(
            map_in_order(self._encode, listing.pairs, self.NUM_THREADS),
            f"Preparing {self.name}: {split}",
            total=len(listing.pairs),
            unit=" pairs",
            disable=not self.show_progress,
        ):
            if isinstance(result, pairs.DataError):
                problems.extend(result.problems)
            else:
                yield result

    def _encode(self, pair):
        """Returns the features of a pair, or the `DataError` about it."""
        try:
            example = self.read(pair)
        except pairs.DataError as error:
            return error
        label_map = example.label_map.astype(self.label_dtype)
        return {
            "image": example.image,
            "label_map": reading.encode_label_map(label_map),
            "name": example.name,
        }

    def _refusal(self, problems, raw_dirs):
        hint = self.hint(problems)
        return (
            f"All files of {self.name!r} must be good. Received: "
            f"{len(problems)} with a problem, listed by `python -m "
            f"oasis_tf.inspect_data --dataset={self.name} "
            f"--data_dir={raw_dirs[0]}` with the same `--set`. Mend or "
            "remove them, or leave them out with "
            "`--set=data.on_problem=skip`." + (f" {hint}" if hint else "")
        )


def map_in_order(function, items, num_threads=None):
    """Applies a function in threads, to some items ahead of the one yielded.

    Args:
        function: of one item.
        items: iterable.
        num_threads: None for one per processor.

    Yields:
        The results, in the items' order.
    """
    num_threads = num_threads or os.cpu_count() or 1
    if num_threads == 1:
        yield from map(function, items)
        return
    items = iter(items)
    with concurrent.futures.ThreadPoolExecutor(num_threads) as executor:
        waiting = collections.deque(
            executor.submit(function, item)
            for item in itertools.islice(items, _PAIRS_IN_FLIGHT)
        )
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(items, 1):
                waiting.append(executor.submit(function, item))
            yield result
