"""Typed settings of a run: frozen dataclasses, `load(name)` and `override`."""

import dataclasses
import importlib.util
import json
import pathlib
import types
import typing


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. "
            f"Received: {value!r}."
        )


def _check_at_least(section, least, fields):
    """Raises ValueError for the first of some fields that is too small."""
    for field in fields:
        value = getattr(section, field)
        if value < least:
            raise ValueError(
                f"`{field}` must be at least {least}. Received: {value}."
            )


def _check_channels(network, channels):
    if len(channels) < 2 or min(channels) < 1:
        raise ValueError(
            f"`{network}.channels` must be two or more numbers above 0. "
            f"Received: {channels}."
        )


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
        _check_at_least(self, 1, ("num_train_scenes", "num_validation_scenes"))
        if not 0 < self.validation_share < 1:
            raise ValueError(
                "`data.validation_share` must be between 0 and 1. Received: "
                f"{self.validation_share}."
            )


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
        _check_channels("generator", self.channels)


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """Size of the discriminator. The defaults are the paper's."""

    channels: tuple[int, ...] = (128, 128, 256, 256, 512, 512)
    """Output channels of the blocks on the way down."""
    last_channels: int = 64
    """Channels in front of the logits."""
    initial_gain: float = 0.02
    """As in `GeneratorConfig`."""

    def __post_init__(self):
        _check_channels("discriminator", self.channels)


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
    """Parts that a batch is worked through in, to save memory."""
    clip_norm: float = 0.0
    """Largest norm of all gradients together; 0: no clipping."""
    jit_compile: bool = False
    """Compile the step with XLA."""

    def __post_init__(self):
        _check_choice(
            "train.precision",
            self.precision,
            ("float32", "mixed_bfloat16", "mixed_float16"),
        )
        _check_at_least(
            self,
            1,
            (
                "num_steps",
                "global_batch_size",
                "accumulation_steps",
                "ema_statistics_batches",
            ),
        )
        _check_at_least(
            self,
            0,
            (
                "generator_lr",
                "discriminator_lr",
                "lambda_labelmix",
                "lambda_vgg",
                "clip_norm",
                "ema_decay",
                "decay_share",
                "beta_1",
            ),
        )
        for field in ("ema_decay", "decay_share"):
            if getattr(self, field) > 1:
                raise ValueError(
                    f"`train.{field}` must be at most 1. Received: "
                    f"{getattr(self, field)}."
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
    best_score: str = ""
    """Score by which `best/` is kept: "miou_real" or "miou_fake"; empty:
    none is kept."""

    def __post_init__(self):
        _check_choice(
            "log.best_score", self.best_score, ("", "miou_real", "miou_fake")
        )
        _check_at_least(
            self,
            1,
            (
                "log_every",
                "checkpoint_every",
                "keep_checkpoints",
                "num_samples",
            ),
        )


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
    for setting in settings:
        path, separator, text = setting.partition("=")
        if not separator:
            raise ValueError(
                "`--set` must look like section.field=value. Received: "
                f"{setting!r}."
            )
        config = _replace(config, path.strip().split("."), text.strip(), path)
    return config


def _replace(config, names, text, path):
    types_ = typing.get_type_hints(type(config))
    name, *rest = names
    if name not in types_:
        raise ValueError(
            f"`--set={path}` must name one of {', '.join(sorted(types_))}. "
            f"Received: {name!r}."
        )
    value = getattr(config, name)
    if rest and dataclasses.is_dataclass(value):
        new = _replace(value, rest, text, path)
    elif rest or dataclasses.is_dataclass(value):
        raise ValueError(
            f"`--set={path}` must name a single field. Received: {path!r}."
        )
    else:
        try:
            new = _parse(text, types_[name])
        except ValueError:
            expected = getattr(types_[name], "__name__", str(types_[name]))
            if typing.get_origin(types_[name]) is not None:
                expected = str(types_[name])
            raise ValueError(
                f"`{path}` must be of type {expected}. Received: {text!r}."
            ) from None
    return dataclasses.replace(config, **{name: new})


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


def differences(config, saved_json):
    """Compares `config` with the JSON text of another one.

    Args:
        config: `Config`.
        saved_json: what `to_json` returned for the other.

    Returns:
        {"section.field": (saved value, value in `config`)} of the fields that
        differ, None standing for a field that one of them lacks.
    """
    saved = _flatten(json.loads(saved_json))
    now = _flatten(json.loads(to_json(config)))
    return {
        name: (saved.get(name), now.get(name))
        for name in sorted(saved.keys() | now.keys())
        if saved.get(name) != now.get(name)
    }


def _flatten(tree, prefix=""):
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
