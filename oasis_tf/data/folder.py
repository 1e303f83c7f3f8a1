"""A user's own folder of images and label maps."""

import dataclasses
import functools
import hashlib
import pathlib

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from absl import logging

from oasis_tf import config as config_lib
from oasis_tf.data import builder
from oasis_tf.data import class_list
from oasis_tf.data import folder_layout
from oasis_tf.data import pairs
from oasis_tf.data import reading
from oasis_tf.data.colors import distinct_colors
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.data.label_map import ranges


@dataclasses.dataclass(kw_only=True)
class FolderConfig(tfds.core.BuilderConfig):
    """Which folder, and how to read it.

    Args:
        raw_dir: path of the folder.
        settings: `oasis_tf.config.DataConfig`.
        name: of the prepared data; made up from the others.
    """

    raw_dir: str
    settings: config_lib.DataConfig = config_lib.DataConfig()
    name: str = ""

    def __post_init__(self):
        raw_dir = pathlib.Path(self.raw_dir).expanduser().resolve()
        self.raw_dir = str(raw_dir)
        self.settings = config_lib.DataConfig(
            **{
                field: getattr(self.settings, field)
                for field in config_lib.FOLDER_SETTINGS
            }
        )
        if not self.name:
            key = hashlib.sha256(repr((self.raw_dir, self.settings)).encode())
            self.name = f"{raw_dir.name}-{key.hexdigest()[:12]}"


class Builder(builder.SegmentationBuilder):
    """A user's own images with label maps.

    `tfds.load("folder", builder_kwargs={"config": FolderConfig(...)})`.
    """

    name = "folder"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "It has a folder of images and one of label maps (see "
        "`oasis_tf/data/folder_layout.py` for the names that are looked for)."
    )

    def __init__(self, *, config, **kwargs):
        if not isinstance(config, FolderConfig):
            raise ValueError(
                f"`config` must be a `FolderConfig`. Received: {config!r}."
            )
        self.raw_dir = pathlib.Path(config.raw_dir)
        self.settings = config.settings
        super().__init__(config=config, **kwargs)

    @classmethod
    def from_settings(cls, settings, image_size, raw_dir, **kwargs):
        del image_size
        config = FolderConfig(raw_dir=str(raw_dir), settings=settings)
        return cls(config=config, **kwargs)

    @property
    def label_dtype(self):
        # Known before the classes are, which may have to be counted.
        return np.uint16

    @functools.cached_property
    def INFO(self):
        return _dataset_info(self)

    @functools.cached_property
    def PALETTE(self):
        if not self.settings.palette:
            return None
        return class_list.read_palette(self.find_file("palette"))[1]

    def download(self, dl_manager):
        del dl_manager
        return [self.raw_dir]

    @classmethod
    def needs_data_dir(cls):
        return True

    def list_pairs(self, raw_dirs):
        del raw_dirs  # The folder is part of the configuration.
        folders = folder_layout.find_folders(self.raw_dir, self.settings)
        listings = {
            split: pairs.pair_folders(
                *folders_of_split,
                self.settings.image_suffix,
                self.settings.label_suffix,
            )
            for split, folders_of_split in folders.items()
        }
        for split, listing in listings.items():
            if not listing.pairs:
                images_dir, labels_dir = folders[split]
                raise pairs.DataError(
                    f"{images_dir} and {labels_dir} must hold files of the "
                    "same name, but for their endings (see "
                    "`data.image_suffix` and `data.label_suffix`). Received: "
                    f"{pairs.describe_folder(images_dir)}; "
                    f"{pairs.describe_folder(labels_dir)}.",
                    listing.problems,
                )
        if "validation" not in listings:
            listings = folder_layout.hold_out(listings["train"], self.settings)
        return listings

    def settings_files(self):
        """Returns the paths of the text files that say what labels mean."""
        files = [self.find_file(f) for f in ("class_names", "palette", "remap")]
        return [path for path in files if path is not None]

    def find_file(self, field):
        """Returns the path of a setting's file, or None where there is none."""
        name = getattr(self.settings, field)
        if not name:
            usual = self.raw_dir / "classes.txt"
            is_there = field == "class_names" and usual.is_file()
            return usual if is_there else None
        places = [self.raw_dir / name, pathlib.Path(name).expanduser()]
        for path in places:
            if path.is_file():
                return path
        if field == "remap":
            return None  # It is a text, not a file.
        raise ValueError(
            f"`data.{field}` must be a file, in `--data_dir` or from here. "
            f"Received: {name!r}, neither {places[0]} nor {places[1]}."
        )

    def hint(self, problems):
        hints = []
        if any(p.expected.startswith("ids among") for p in problems):
            hints.append(
                "Ids that are no classes can be named as don't-care, "
                "`--set=data.ignore_id=255`, or replaced, "
                "`--set=data.remap=7:0,8:1`."
            )
        if any(p.expected.startswith("a single channel") for p in problems):
            hints.append(
                "Labels stored as colours need `--set=data.palette=FILE`, a "
                "file of `id name red green blue` lines."
            )
        if any(p.found == "none" for p in problems):
            hints.append(
                "Where the two names of a pair differ in their ends, see "
                "`data.image_suffix` and `data.label_suffix`."
            )
        return " ".join(hints)


def _dataset_info(folder):
    """Returns the `DatasetInfo` of a `Builder`'s folder."""
    settings = folder.settings
    ignored = sorted(set(settings.ignore_id) - {-1})
    classes = _named_classes(folder)
    replaced = _replaced_ids(folder)

    gone = set(replaced) - set(replaced.values())
    if classes.names:
        ids = sorted(set(classes.names) - set(ignored) - gone)
        if settings.num_classes not in (0, len(ids)):
            raise ValueError(
                "`data.num_classes` must be the number of named classes "
                "without don't-care, or 0. Received: "
                f"{settings.num_classes}, and {len(ids)} names: "
                f"{', '.join(classes.names[i] for i in ids)}."
            )
    elif settings.num_classes:
        candidates = range(settings.num_classes + len(ignored) + len(gone))
        ids = [i for i in candidates if i not in gone and i not in ignored]
        ids = ids[: settings.num_classes]
    else:
        ids = sorted(_count_ids(folder, replaced) - set(ignored))
        skipped = set(range(max(ids, default=0))) - {*ids, *ignored} - gone
        if skipped:
            logging.warning(
                "Every id in the training labels is taken for a class: %s. If "
                "some are mistakes, name the classes in classes.txt, or say "
                "`--set=data.num_classes=...`: other ids are errors then.",
                ranges(ids),
            )
    if not settings.ignore_id:
        _check_forgotten_dont_care(ids, classes)

    labels = {i: k for k, i in enumerate(ids, start=1 if ignored else 0)}
    labels |= dict.fromkeys(ignored, 0)
    for i, target in replaced.items():
        if target not in labels:
            raise ValueError(
                "`data.remap` must replace ids by ids of classes or of "
                f"don't-care. Received: {i}:{target}; ids are "
                f"{ranges(labels)}."
            )
    label_of_id = {i: s for i, s in labels.items() if i not in replaced}
    label_of_id |= {i: labels[target] for i, target in replaced.items()}

    names = [classes.names.get(i, f"class {i}") for i in ids]
    colors = [
        classes.colors.get(i, color)
        for i, color in zip(ids, distinct_colors(len(ids)))
    ]
    if ignored:
        names.insert(0, classes.names.get(ignored[0], "don't care"))
        colors.insert(0, classes.colors.get(ignored[0], (0, 0, 0)))
    return DatasetInfo("folder", names, colors, label_of_id, bool(ignored))


def _named_classes(folder):
    """Returns the `ClassList` of the class names' and palette's files."""
    names, colors = {}, {}
    palette_file = folder.find_file("palette")
    if palette_file:
        palette, _ = class_list.read_palette(palette_file)
        names, colors = palette.names, palette.colors
    names_file = folder.find_file("class_names")
    if names_file:
        classes = class_list.read_classes(names_file)
        names, colors = classes.names, colors | classes.colors
    return class_list.ClassList(names, colors)


def _replaced_ids(folder):
    if not folder.settings.remap:
        return {}
    path = folder.find_file("remap")
    if path:
        return class_list.read_remap(path)
    return class_list.parse_remap(folder.settings.remap)


def _count_ids(folder, replaced):
    """Returns the set of ids in the training label maps."""
    found = set()
    train_pairs = folder.list_pairs([folder.raw_dir])["train"].pairs

    def ids_of(pair):
        try:
            return np.unique(reading.read_ids(pair.label, folder.PALETTE))
        except pairs.DataError:
            return ()  # Reported with all other problems, when all is read.

    for ids in tqdm.tqdm(
        builder.map_in_order(ids_of, train_pairs),
        "Counting classes",
        total=len(train_pairs),
        unit=" files",
    ):
        found.update(replaced.get(int(i), int(i)) for i in ids if i >= 0)
    if not found:
        raise pairs.DataError(
            "The training label maps must hold class ids. Received: none in "
            f"{len(train_pairs)} files of {train_pairs[0].label.parent}."
        )
    return found


def _check_forgotten_dont_care(ids, classes):
    """Refuses classes that look as if they meant don't-care."""
    suspects = [
        (i, f"is called {classes.names[i]!r}")
        for i in ids
        if class_list.is_dont_care_name(classes.names.get(i, ""))
    ]
    if not classes.names and 255 in ids and 254 not in ids:
        suspects.append((255, "is the usual one"))
    if suspects:
        reasons = ", ".join(f"{i} {reason}" for i, reason in suspects)
        values = ",".join(str(i) for i, _ in suspects)
        raise pairs.DataError(
            "`data.ignore_id` must say which ids mean don't-care, for some "
            f"look as if they did. Received: none, while {reasons}. Use "
            f"`--set=data.ignore_id={values}`, or `--set=data.ignore_id=-1` "
            "if these are classes to learn."
        )
