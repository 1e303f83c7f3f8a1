"""TFDS builder of generated landscapes."""

import dataclasses

import tensorflow_datasets as tfds

from oasis_tf import config as config_lib
from oasis_tf.data import builder
from oasis_tf.data import pairs
from oasis_tf.data import reading
from oasis_tf.data.dataset import DatasetInfo
from oasis_tf.data.toy_scenes import scenes

_FIRST_VALIDATION_SCENE = 1_000_000_000  # Scene numbers beyond training's.
_DEFAULTS = config_lib.DataConfig()


@dataclasses.dataclass(kw_only=True)
class ToyScenesConfig(tfds.core.BuilderConfig):
    """Which scenes to draw, and how large.

    Args:
        height: of the images, in pixels.
        width: of the images, in pixels.
        num_train_scenes: scenes for training.
        num_validation_scenes: scenes for validation; 0 for none.
        seed: another one draws other scenes.
        name: of the prepared data; made up from the others.
    """

    height: int = 64
    width: int = 64
    num_train_scenes: int = _DEFAULTS.num_train_scenes
    num_validation_scenes: int = _DEFAULTS.num_validation_scenes
    seed: int = _DEFAULTS.scene_seed
    name: str = ""

    def __post_init__(self):
        if self.num_train_scenes < 1 or self.num_validation_scenes < 0:
            raise ValueError(
                "`num_train_scenes` must be at least 1 and "
                "`num_validation_scenes` at least 0. Received: "
                f"{self.num_train_scenes} and {self.num_validation_scenes}."
            )
        self.name = self.name or (
            f"{self.height}x{self.width}-train{self.num_train_scenes}"
            f"-validation{self.num_validation_scenes}-seed{self.seed}"
        )


@dataclasses.dataclass(frozen=True)
class Scene:
    """A scene to draw: what a `pairs.Pair` is to data in files."""

    name: str
    index: int


class Builder(builder.SegmentationBuilder):
    """Generated landscapes with exact label maps.

    Sky, mountains, water, houses, trees and more, under a light and in
    materials that the label map does not tell. Another size or number:
    `tfds.load("toy_scenes", builder_kwargs={"config": ToyScenesConfig(...)})`.
    """

    name = "toy_scenes"
    IS_GENERATED = True
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    NUM_THREADS = 1  # Drawing is many small steps: threads would only wait.
    INFO = DatasetInfo(
        name="toy_scenes",
        class_names=scenes.CLASS_NAMES,
        colors=scenes.COLORS,
        label_of_id={i: i for i in range(len(scenes.CLASS_NAMES))},
        has_dont_care=False,
    )

    def __init__(self, *, config=None, **kwargs):
        config = ToyScenesConfig() if config is None else config
        if not isinstance(config, ToyScenesConfig):
            raise ValueError(
                f"`config` must be a `ToyScenesConfig`. Received: {config!r}."
            )
        super().__init__(config=config, **kwargs)

    @classmethod
    def from_settings(cls, settings, image_size, raw_dir, **kwargs):
        del raw_dir
        height, width = settings.load_size or image_size
        config = ToyScenesConfig(
            height=height,
            width=width,
            num_train_scenes=settings.num_train_scenes,
            num_validation_scenes=settings.num_validation_scenes,
            seed=settings.scene_seed,
        )
        return cls(config=config, **kwargs)

    @classmethod
    def needs_data_dir(cls):
        return False

    def download(self, dl_manager):
        del dl_manager
        return []

    def list_pairs(self, raw_dirs):
        del raw_dirs
        config = self.builder_config
        listings = {
            "train": _listing("train", 0, config.num_train_scenes),
            "validation": _listing(
                "validation",
                _FIRST_VALIDATION_SCENE,
                config.num_validation_scenes,
            ),
        }
        return {split: ls for split, ls in listings.items() if ls.pairs}

    def read(self, pair):
        config = self.builder_config
        image, label_map = scenes.draw_scene(
            config.seed, pair.index, config.height, config.width
        )
        return reading.Example(
            pair.name, reading.encode_image(image), label_map
        )


def _listing(split, first, count):
    scenes_of_split = [
        Scene(f"{split}-{k:06d}", first + k) for k in range(count)
    ]
    return pairs.Listing(scenes_of_split, [])
