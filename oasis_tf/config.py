"""Typed settings of a run: frozen dataclasses, `load(name)` and `override`."""

import dataclasses
import importlib.util
import json
import math
import pathlib
import types
import typing


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. "
            f"Received: {value!r}."
        )


def _check_range(section, name, fields, least, most=math.inf):
    """Raises ValueError for the first of some fields outside a range."""
    for field in fields:
        value = getattr(section, field)
        # In this form, for NaN is neither below nor above anything.
        if not (least <= value <= most and value < math.inf):
            limit = f" and at most {most}" if most < math.inf else ""
            raise ValueError(
                f"`{name}.{field}` must be at least {least}{limit}. "
                f"Received: {value}."
            )


def _check_channels(section, name, fields):
    if len(section.channels) < 2 or min(section.channels) < 1:
        raise ValueError(
            f"`{name}.channels` must be two or more numbers above 0. "
            f"Received: {section.channels}."
        )
    _check_range(section, name, fields, 1)
    _check_range(section, name, ("initial_gain",), 1e-6)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where examples come from and how they are brought to size."""

    load_size: tuple[int, int] | None = None
    """(height, width) to resize to before the random crop to `image_size`;
    None resizes straight to `image_size`, without a crop."""
    flip: bool = True
    """Mirror half of the training examples left to right."""
    prepared_dir: str = ""
    """Folder for prepared data; empty: `oasis_tf` in the user's cache."""
    on_problem: str = "refuse"
    """What to do about files with a problem: "refuse" to train, or "skip"."""

    # toy_scenes only.
    num_train_scenes: int = 3000
    num_validation_scenes: int = 64
    scene_seed: int = 0
    """Another seed draws other scenes."""

    # folder only: names are relative to `--data_dir`. Empty names are looked
    # for among the usual ones (train, images/train, train_img, ...).
    train_images: str = ""
    train_labels: str = ""
    validation_images: str = ""
    validation_labels: str = ""
    image_suffix: str = ""
    """What follows the common part of a pair's two names, without the file
    ending: `_leftImg8bit` in `a_leftImg8bit.png`."""
    label_suffix: str = ""
    validation_share: float = 0.05
    """Share of the training pairs held out where no validation folder is."""
    num_classes: int = 0
    """Classes without don't-care; 0: from the class names, else counted."""
    class_names: str = ""
    """File of class names; empty: `classes.txt`, where there is one."""
    ignore_id: tuple[int, ...] = ()
    """Ids in the label files that mean don't-care; empty: there are none (-1
    confirms that, where an id or name looks as if it meant don't-care)."""
    remap: str = ""
    """Ids to replace on reading: `7:0,8:1`, or a file of such lines."""
    palette: str = ""
    """File of `id name r g b` lines for labels stored as RGB colours."""

    def __post_init__(self):
        _check_choice("data.on_problem", self.on_problem, ("refuse", "skip"))
        _check_range(self, "data", ("num_train_scenes",), 1)
        _check_range(
            self,
            "data",
            ("num_validation_scenes", "scene_seed", "num_classes"),
            0,
        )
        _check_range(self, "data", ("validation_share",), 0, 0.9)


FOLDER_SETTINGS = (
    "train_images",
    "train_labels",
    "validation_images",
    "validation_labels",
    "image_suffix",
    "label_suffix",
    "validation_share",
    "num_classes",
    "class_names",
    "ignore_id",
    "remap",
    "palette",
)
"""The fields of `DataConfig` that say how to read a user's own folder."""


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """Size of the generator. The defaults are the paper's."""

    channels: tuple[int, ...] = (1024, 1024, 1024, 512, 256, 128, 64)
    """Channels of the first feature map, then of each block's output."""
    noise_channels: int = 64
    noise: str = "image"
    """One noise vector per "image" or per "pixel", or "none"."""
    spade_channels: int = 128
    """Hidden channels inside SPADE."""
    initial_gain: float = 0.02
    """Of the initial kernels; short runs of small networks learn faster from
    1, Glorot's own."""

    def __post_init__(self):
        _check_choice("generator.noise", self.noise, ("image", "pixel", "none"))
        _check_channels(self, "generator", ("noise_channels", "spade_channels"))

    @property
    def size_multiple(self):
        """Height and width must be multiples of this."""
        return 2 ** (len(self.channels) - 2)


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """Kind and size of the discriminator. The defaults are the paper's."""

    kind: str = "segmentation"
    """"segmentation", OASIS's; or "patch", that of SPADE, to compare with."""
    channels: tuple[int, ...] = (128, 128, 256, 256, 512, 512)
    """Output channels of the blocks on the way down; of a "patch"
    discriminator's convolutions, all but the last of which halve the size."""
    last_channels: int = 64
    """Channels in front of the logits."""
    initial_gain: float = 0.02
    """As in `GeneratorConfig`."""

    def __post_init__(self):
        _check_choice(
            "discriminator.kind", self.kind, ("segmentation", "patch")
        )
        _check_channels(self, "discriminator", ("last_channels",))

    @property
    def is_segmenter(self):
        """Whether it segments images."""
        return self.kind == "segmentation"

    @property
    def size_multiple(self):
        """Height and width must be multiples of this."""
        return 2 ** len(self.channels) if self.is_segmenter else 1


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How the two networks are updated."""

    num_steps: int
    global_batch_size: int = 32
    """Images per step, over all replicas."""
    seed: int = 0
    """Seeds the weights, the order of the data, the noise and LabelMix."""
    generator_lr: float = 1e-4
    discriminator_lr: float = 4e-4
    decay_share: float = 0.0
    """Share of the steps, at the end, over which both rates fall to 0; the
    paper has none, short runs gain by it."""
    beta_1: float = 0.0
    beta_2: float = 0.999
    epsilon: float = 1e-8
    lambda_labelmix: float = 10.0
    """Weight of LabelMix; 0 turns it off."""
    lambda_vgg: float = 0.0
    """Weight of the VGG perceptual loss; needs `vgg_weights`."""
    vgg_weights: str = ""
    """File of VGG19 weights in Keras's `.h5` form."""
    class_balancing: bool = True
    """Weigh each class by its inverse frequency in the batch (Eq. 1)."""
    class_weights_per_replica: bool = False
    """Count classes in each replica's share alone, not in the whole batch."""
    ema_decay: float = 0.9999
    """Per step."""
    ema_statistics_batches: int = 50
    """Training batches from which the averaged generator's batch statistics
    are estimated before it is used."""
    precision: str = "float32"
    """Or "mixed_bfloat16", "mixed_float16"."""
    accumulation_steps: int = 1
    """Parts that a batch is worked through in, to save memory. Batch norm
    then sees a part at a time, and each takes its own power iterations."""
    clip_norm: float = 0.0
    """Largest norm of all gradients together; 0: no clipping."""
    jit_compile: bool = False
    """Compile the step with XLA."""
    form: str = "auto"
    """How SPADE computes: "dense", at every pixel; "piecewise", at each
    distinct neighbourhood; "auto": the second on CPUs, without XLA."""

    def __post_init__(self):
        _check_choice(
            "train.precision",
            self.precision,
            ("float32", "mixed_bfloat16", "mixed_float16"),
        )
        _check_choice("train.form", self.form, ("auto", "dense", "piecewise"))
        if self.jit_compile and self.form == "piecewise":
            raise ValueError(
                '`train.form` must be "dense" or "auto" with '
                "`train.jit_compile`: XLA does not compile the other. "
                f"Received: {self.form!r}."
            )
        counts = (
            "num_steps",
            "global_batch_size",
            "accumulation_steps",
            "ema_statistics_batches",
        )
        _check_range(self, "train", counts, 1)
        _check_range(self, "train", ("seed",), 0, 2**31 - 1)
        rates = ("generator_lr", "discriminator_lr", "epsilon", "clip_norm")
        _check_range(self, "train", rates, 0)
        _check_range(self, "train", ("lambda_labelmix", "lambda_vgg"), 0)
        _check_range(self, "train", ("ema_decay", "decay_share"), 0, 1)
        # At 1 the moments would stay 0.
        _check_range(self, "train", ("beta_1", "beta_2"), 0, 0.999999)


DISCRIMINATOR_SCORES = ("miou_real", "miou_fake")
"""Scores that a segmenting discriminator gives during training."""

FEATURE_SCORES = ("fid", "kid", "precision", "recall")
"""Those of the networks' features, "segmenter_..." of the segmenter's."""

_STATISTICS_SCORES = ("color_emd", "texture_chi2")

JUDGE_SCORES = (
    "segmenter_miou",
    "segmenter_accuracy",
    *(f"segmenter_{name}" for name in FEATURE_SCORES),
    *_STATISTICS_SCORES,
)
"""Those with `log.segmenter`; the features are the segmenter's."""

INCEPTION_SCORES = (*FEATURE_SCORES, *_STATISTICS_SCORES)
"""Those with `log.inception_weights`, in place of the segmenter's features."""

DIVERSITY_SCORES = ("ms_ssim", "lpips", "random_lpips")
"""Those with `log.diversity_maps`; the last without LPIPS's weights."""

LOWER_IS_BETTER = (
    *("fid", "kid", "segmenter_fid", "segmenter_kid"),
    *_STATISTICS_SCORES,
    "ms_ssim",
)


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """What a run writes, and how often. May change when a run is resumed."""

    log_every: int = 50
    """Steps between two points of the loss curves."""
    sample_every: int = 5_000
    """Steps between two sample sheets."""
    num_samples: int = 4
    """Label maps on a sample sheet."""
    checkpoint_every: int = 1_000
    keep_checkpoints: int = 3
    validate_every: int = 0
    """Steps between two validation scores; 0: only at the end."""
    validation_images: int = 500
    """Validation images that the score is taken on, at most."""
    segmenter: str = ""
    """SavedModel of `oasis_tf.train_segmenter` that judges the fakes, too:
    `JUDGE_SCORES`. Those of its features are comparable within the run."""
    inception_weights: str = ""
    """As of `oasis_tf.evaluate`: `INCEPTION_SCORES`."""
    diversity_maps: int = 0
    """Validation label maps, of each of which 20 fakes by the noise that is
    trained with are compared: "ms_ssim", and LPIPS from 31 x 31 pixels on."""
    lpips_backbone: str = ""
    lpips_linear: str = ""
    """As of `oasis_tf.evaluate`, of AlexNet: "lpips" by a network with these
    weights. Empty: "random_lpips", by one with random weights."""
    best_score: str = ""
    """Score by which `best/` is kept: one of these or of
    `DISCRIMINATOR_SCORES`; empty: none is kept."""

    def __post_init__(self):
        known = {
            *DISCRIMINATOR_SCORES,
            *JUDGE_SCORES,
            *INCEPTION_SCORES,
            *DIVERSITY_SCORES,
        }
        _check_choice("log.best_score", self.best_score, ("", *sorted(known)))
        given = {"", *DISCRIMINATOR_SCORES}
        if self.segmenter:
            given.update(JUDGE_SCORES)
        if self.inception_weights:
            given -= {f"segmenter_{name}" for name in FEATURE_SCORES}
            given.update(INCEPTION_SCORES)
        if bool(self.lpips_backbone) != bool(self.lpips_linear):
            raise ValueError(
                "`log.lpips_backbone` and `log.lpips_linear` are needed "
                "together. Received: one of them."
            )
        if self.lpips_linear and not self.diversity_maps:
            raise ValueError(
                "`log.lpips_backbone` and `log.lpips_linear` need "
                "`log.diversity_maps`. Received: log.diversity_maps=0."
            )
        if self.diversity_maps:
            given.add("ms_ssim")
            given.add("lpips" if self.lpips_linear else "random_lpips")
        if self.best_score not in given:
            raise ValueError(
                f"`log.best_score` {self.best_score!r} must be a score that is "
                "taken: `log.segmenter`, `log.inception_weights` and "
                "`log.diversity_maps` give more. Received: "
                f"log.segmenter={self.segmenter!r}, "
                f"log.inception_weights={self.inception_weights!r}, "
                f"log.diversity_maps={self.diversity_maps}."
            )
        every = ("log_every", "checkpoint_every")
        _check_range(self, "log", every, 1)
        from_0 = ("sample_every", "validate_every", "diversity_maps")
        _check_range(self, "log", from_0, 0)
        counts = ("keep_checkpoints", "num_samples", "validation_images")
        _check_range(self, "log", counts, 1)


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment."""

    dataset: str
    image_size: tuple[int, int]
    """(height, width) of the images to train on, in pixels."""
    train: TrainConfig
    data: DataConfig = DataConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    log: LogConfig = LogConfig()

    def __post_init__(self):
        for network in ("generator", "discriminator"):
            multiple = getattr(self, network).size_multiple
            if any(n < 1 or n % multiple for n in self.image_size):
                raise ValueError(
                    f"`image_size` must be multiples of {multiple}, for "
                    f"`{network}.channels` has "
                    f"{len(getattr(self, network).channels)} entries. "
                    f"Received: {self.image_size}."
                )
        is_given = self.discriminator.is_segmenter
        if self.log.best_score in DISCRIMINATOR_SCORES and not is_given:
            raise ValueError(
                f"`log.best_score` {self.log.best_score!r} is of a "
                "discriminator that segments. Received: discriminator.kind="
                f"{self.discriminator.kind!r}."
            )
        load_size = self.data.load_size
        if load_size and any(n < m for n, m in zip(load_size, self.image_size)):
            raise ValueError(
                "`data.load_size` must be at least `image_size`, which is "
                f"cropped from it. Received: {load_size} and "
                f"{self.image_size}."
            )
        if self.dataset != "folder":
            default = DataConfig()
            for field in FOLDER_SETTINGS:
                if getattr(self.data, field) != getattr(default, field):
                    raise ValueError(
                        f"`data.{field}` is for `--dataset=folder` only: other "
                        "data sets know their labels. Received: "
                        f"{getattr(self.data, field)!r} for {self.dataset!r}."
                    )


def load(name):
    """Returns the experiment `configs/<name>.py`.

    Args:
        name: of the experiment, such as "toy_scenes", or the path of a Python
            file that defines `get_config()`.

    Returns:
        `Config`.

    Raises:
        ValueError: if there is no such experiment.
    """
    path = pathlib.Path(name)
    if path.suffix != ".py":
        path = _experiments_dir() / f"{name}.py"
    if not path.is_file():
        known = sorted(
            p.stem
            for p in _experiments_dir().glob("*.py")
            if p.stem != "__init__"
        )
        raise ValueError(
            f"There must be a configuration {path}. Received: {name!r}; "
            f"there are: {', '.join(known)}."
        )
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ValueError(
            f"{path} must define `get_config()`. Received: a file without it."
        )
    return module.get_config()


def _experiments_dir():
    """Returns `configs/`: inside an installed package, beside it in a clone."""
    package = pathlib.Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def override(config, settings):
    """Returns `config` with some fields replaced.

    Args:
        config: a (nested) dataclass.
        settings: texts such as "train.global_batch_size=8"; tuples are
            written with commas, "image_size=64,96".

    Returns:
        A new dataclass of the same type.

    Raises:
        ValueError: if a field does not exist or a value has another type.
    """
    changes = {}
    for setting in settings:
        path, separator, text = setting.partition("=")
        path = path.strip()
        if not separator:
            raise ValueError(
                "`--set` must look like section.field=value. Received: "
                f"{setting!r}."
            )
        *sections, field = path.split(".")
        part, section = changes, config
        for name in sections:
            _check_field(section, name, path, is_section=True)
            part, section = part.setdefault(name, {}), getattr(section, name)
        _check_field(section, field, path, is_section=False)
        part[field] = _parse_field(section, field, text.strip(), path)
    return _replace(config, changes)


def _check_field(section, name, path, is_section):
    fields = typing.get_type_hints(type(section))
    if name not in fields:
        raise ValueError(
            f"`--set={path}` must name one of {', '.join(sorted(fields))}. "
            f"Received: {name!r}."
        )
    if dataclasses.is_dataclass(getattr(section, name)) != is_section:
        raise ValueError(
            f"`--set={path}` must name a single field. Received: {path!r}."
        )


def _parse_field(section, field, text, path):
    type_ = typing.get_type_hints(type(section))[field]
    try:
        return _parse(text, type_)
    except ValueError:
        # `tuple[int, int]` says more than its name, `int` less.
        expected = type_.__name__ if type(type_) is type else type_
        raise ValueError(
            f"`{path}` must be of type {expected}. Received: {text!r}."
        ) from None


def _replace(config, changes):
    """Replaces all fields at once: only the result has to be consistent."""
    return dataclasses.replace(
        config,
        **{
            name: _replace(getattr(config, name), value)
            if isinstance(value, dict)
            else value
            for name, value in changes.items()
        },
    )


def _parse(text, type_):
    """Returns `text` as a value of a field's type; ValueError if it is none."""
    if type_ is bool:
        values = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() not in values:
            raise ValueError(text)
        return values[text.lower()]
    if type_ in (int, float):
        return type_(text)
    if type_ is str:
        return text
    arguments = typing.get_args(type_)
    if isinstance(type_, types.UnionType):  # `X | None`
        if text.lower() == "none":
            return None
        return _parse(text, next(a for a in arguments if a is not type(None)))
    # What is left are tuples: (int, int) or (int, ...).
    values = [_parse(t, arguments[0]) for t in text.strip("()").split(",") if t]
    if arguments[-1] is not Ellipsis and len(values) != len(arguments):
        raise ValueError(text)
    return tuple(values)


def to_json(config):
    """Returns `config` as a JSON text."""
    return json.dumps(dataclasses.asdict(config), indent=1)


def from_json(text):
    """Returns the `Config` that `to_json` wrote as `text`.

    Fields that the text lacks have their defaults.

    Raises:
        ValueError: if it is not the text of a configuration.
    """
    try:
        return _from_dict(Config, json.loads(text))
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(
            "A configuration must be as `to_json` writes it. Received: "
            f"{error}."
        ) from error


def _from_dict(type_, fields):
    hints = typing.get_type_hints(type_)
    values = {}
    for name, value in fields.items():
        if dataclasses.is_dataclass(hints[name]):
            value = _from_dict(hints[name], value)
        values[name] = tuple(value) if isinstance(value, list) else value
    return type_(**values)


def result_settings(config):
    """Returns the settings that results follow from, for a record of them.

    Returns:
        {"section.field": value}, plain enough for JSON: all but what is logged
        and where prepared data are kept.
    """
    return {
        name: value
        for name, value in _flatten(json.loads(to_json(config))).items()
        if not name.startswith("log.") and name != "data.prepared_dir"
    }


def differences(config, saved_json):
    """Compares `config` with the JSON text of another one.

    Args:
        config: `Config`.
        saved_json: what `to_json` returned for the other.

    Returns:
        {"section.field": (saved value, value in `config`)} of the fields that
        differ. A field that the saved one lacks had its default, for it is
        newer; one that `config` lacks is None there.
    """
    saved = _defaults() | _flatten(json.loads(saved_json))
    now = _flatten(json.loads(to_json(config)))
    return {
        name: (saved.get(name), now.get(name))
        for name in sorted(saved.keys() | now.keys())
        if saved.get(name) != now.get(name)
    }


def _defaults():
    """Returns {"section.field": default} of the fields that have one."""
    sections = typing.get_type_hints(Config)
    defaults = {}
    for section, type_ in sections.items():
        if dataclasses.is_dataclass(type_):
            for field in dataclasses.fields(type_):
                if field.default is not dataclasses.MISSING:
                    defaults[f"{section}.{field.name}"] = field.default
    # Tuples as JSON has them.
    return json.loads(json.dumps(defaults))


def _flatten(tree, prefix=""):
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
