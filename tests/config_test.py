"""Settings: experiments, `--set` and what has changed since a run began."""

import dataclasses
import json
import pathlib

import pytest

from oasis_tf import config
from oasis_tf.config import Config
from oasis_tf.config import DataConfig
from oasis_tf.config import TrainConfig

EXPERIMENTS = sorted(
    path.stem
    for path in (pathlib.Path(__file__).parents[1] / "configs").glob("*.py")
    if path.stem != "__init__"
)
SMALL = Config(
    dataset="folder",
    image_size=(64, 128),
    train=TrainConfig(num_steps=10),
)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_loads(name):
    experiment = config.load(name)
    assert isinstance(experiment, Config)
    assert experiment.dataset == name
    height, width = experiment.image_size
    generator_multiple = 2 ** (len(experiment.generator.channels) - 2)
    discriminator_multiple = 2 ** len(experiment.discriminator.channels)
    for multiple in (generator_multiple, discriminator_multiple):
        assert height % multiple == 0 and width % multiple == 0
    load_size = experiment.data.load_size or experiment.image_size
    assert load_size[0] >= height and load_size[1] >= width


@pytest.mark.parametrize(
    (
        "name",
        "size",
        "epochs",
        "batch",
        "learning_rates",
        "lambda_labelmix",
        "decay",
        "loads",
    ),
    [
        (
            "ade20k",
            (256, 256),
            (200, 20_210),
            32,
            (1e-4, 4e-4),
            10,
            0.9999,
            (286, 286),
        ),
        (
            "coco_stuff",
            (256, 256),
            (100, 118_287),
            32,
            (1e-4, 4e-4),
            10,
            0.9999,
            (286, 286),
        ),
        (
            "cityscapes",
            (256, 512),
            (200, 2_975),
            20,
            (4e-4, 4e-4),
            5,
            0.999,
            None,
        ),
    ],
)
def test_settings_of_the_paper(
    name, size, epochs, batch, learning_rates, lambda_labelmix, decay, loads
):
    experiment = config.load(name)
    train = experiment.train
    assert train.global_batch_size == batch
    assert (train.generator_lr, train.discriminator_lr) == learning_rates
    assert (train.beta_1, train.beta_2) == (0, 0.999)
    assert train.lambda_labelmix == lambda_labelmix
    assert train.ema_decay == decay
    assert experiment.data.load_size == loads
    assert (train.epsilon, train.decay_share, train.lambda_vgg) == (1e-8, 0, 0)
    num_epochs, num_images = epochs
    assert train.num_steps == num_epochs * num_images // batch
    generator = experiment.generator
    assert generator.channels == (1024, 1024, 1024, 512, 256, 128, 64)
    assert (generator.noise_channels, generator.spade_channels) == (64, 128)
    discriminator = experiment.discriminator
    assert discriminator.channels == (128, 128, 256, 256, 512, 512)
    assert discriminator.last_channels == 64
    assert generator.initial_gain == discriminator.initial_gain == 0.02
    assert experiment.image_size == size


def test_load_takes_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from oasis_tf.config import Config, TrainConfig\n"
        "def get_config():\n"
        "    return Config('mine', (64, 64), TrainConfig(num_steps=7))\n"
    )
    assert config.load(str(path)).train.num_steps == 7


def test_load_names_the_experiments_there_are():
    with pytest.raises(ValueError, match="Received: 'coco'") as error:
        config.load("coco")
    assert ", ".join(EXPERIMENTS) in str(error.value)


@pytest.mark.parametrize(
    ("setting", "section", "field", "value"),
    [
        ("train.global_batch_size=8", "train", "global_batch_size", 8),
        ("train.generator_lr=2e-4", "train", "generator_lr", 2e-4),
        ("train.jit_compile=True", "train", "jit_compile", True),
        ("data.flip=false", "data", "flip", False),
        ("data.flip=0", "data", "flip", False),
        ("data.remap=7:0,8:1", "data", "remap", "7:0,8:1"),
        ("data.class_names=a=b.txt", "data", "class_names", "a=b.txt"),
        ("data.ignore_id=11", "data", "ignore_id", (11,)),
        ("data.ignore_id=11,255", "data", "ignore_id", (11, 255)),
        ("data.ignore_id=", "data", "ignore_id", ()),
        ("data.load_size=286,572", "data", "load_size", (286, 572)),
        ("data.load_size=none", "data", "load_size", None),
        ("generator.channels=(8, 8, 4)", "generator", "channels", (8, 8, 4)),
        (" log.log_every = 5 ", "log", "log_every", 5),
    ],
)
def test_override_sets_a_field_of_a_section(setting, section, field, value):
    changed = config.override(SMALL, [setting])
    new = getattr(getattr(changed, section), field)
    assert new == value and type(new) is type(value)
    # Nothing else.
    before = dataclasses.replace(getattr(SMALL, section), **{field: value})
    assert changed == dataclasses.replace(SMALL, **{section: before})


def test_override_sets_a_field_outside_of_sections():
    assert config.override(SMALL, ["image_size=64,192"]).image_size == (64, 192)


def test_the_last_of_two_overrides_holds():
    settings = ["train.seed=1", "train.seed=2"]
    assert config.override(SMALL, settings).train.seed == 2


def test_override_leaves_the_given_config():
    before = config.to_json(SMALL)
    config.override(SMALL, ["train.seed=5"])
    assert config.to_json(SMALL) == before


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.seed", "must look like section.field=value.*'train.seed'"),
        ("train.sed=1", "one of .*global_batch_size.*Received: 'sed'"),
        ("trian.seed=1", "one of .*train.* Received: 'trian'"),
        ("train=1", "must name a single field. Received: 'train'"),
        ("train.seed.x=1", "must name a single field"),
        ("train.seed=1.5", "`train.seed` must be of type int. Received: '1.5'"),
        ("train.seed=", "`train.seed` must be of type int. Received: ''"),
        ("train.generator_lr=fast", "of type float. Received: 'fast'"),
        ("data.flip=maybe", "of type bool. Received: 'maybe'"),
        ("image_size=64", r"of type tuple\[int, int\]. Received: '64'"),
        ("image_size=64,64,3", r"tuple\[int, int\]. Received: '64,64,3'"),
        ("data.load_size=big", r"tuple\[int, int\] \| None"),
    ],
)
def test_override_says_what_is_wrong(setting, message):
    with pytest.raises(ValueError, match=message):
        config.override(SMALL, [setting])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.precision=float64", "`train.precision` must be one of"),
        ("train.num_steps=0", "`train.num_steps` must be at least 1"),
        (
            "train.ema_decay=1.5",
            "`train.ema_decay` must be at least 0 and at most 1",
        ),
        (
            "train.lambda_labelmix=-1",
            "`train.lambda_labelmix` must be at least 0",
        ),
        ("data.on_problem=ignore", "`data.on_problem` must be one of"),
        (
            "data.validation_share=1",
            "`data.validation_share` must be at least 0",
        ),
        ("generator.noise=some", "`generator.noise` must be one of"),
        ("generator.channels=8", "`generator.channels` must be two or more"),
        ("log.best_score=beauty", "`log.best_score` must be one of"),
        ("log.best_score=fid", "'fid' must be a score that is taken"),
        ("log.best_score=segmenter_miou", "Received: log.segmenter=''"),
        ("log.best_score=ms_ssim", "log.diversity_maps=0"),
        ("log.lpips_linear=a.pth", "are needed together"),
        ("discriminator.kind=both", "`discriminator.kind` must be one of"),
    ],
)
def test_values_that_cannot_be_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        config.override(SMALL, [setting])


def test_configs_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.train.seed = 1


def test_json_holds_every_field():
    tree = json.loads(config.to_json(SMALL))
    assert tree["image_size"] == [64, 128]
    assert tree["train"]["num_steps"] == 10
    assert set(tree["data"]) == {f.name for f in dataclasses.fields(DataConfig)}


def test_equal_configs_have_no_differences():
    assert config.differences(SMALL, config.to_json(SMALL)) == {}
    changed = config.override(SMALL, ["data.load_size=80,160"])
    again = config.override(SMALL, ["data.load_size=80,160"])
    assert config.differences(again, config.to_json(changed)) == {}


def test_differences_are_named_with_both_values():
    changed = config.override(SMALL, ["train.seed=3", "image_size=64,64"])
    assert config.differences(changed, config.to_json(SMALL)) == {
        "image_size": ([64, 128], [64, 64]),
        "train.seed": (0, 3),
    }


def test_a_field_that_the_saved_one_lacks_had_its_default():
    saved = json.loads(config.to_json(SMALL))
    del saved["train"]["seed"]
    assert config.differences(SMALL, json.dumps(saved)) == {}
    changed = config.override(SMALL, ["train.seed=3"])
    assert config.differences(changed, json.dumps(saved)) == {
        "train.seed": (0, 3)
    }


def test_a_field_that_is_gone_is_a_difference():
    saved = json.loads(config.to_json(SMALL))
    saved["train"]["old_setting"] = 7
    assert config.differences(SMALL, json.dumps(saved)) == {
        "train.old_setting": (7, None)
    }


def test_a_file_without_get_config_is_refused(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("x = 1\n")
    with pytest.raises(ValueError, match="mine.py must define `get_config"):
        config.load(str(path))


@pytest.mark.parametrize(
    ("settings", "taken", "not_taken"),
    [
        (["log.segmenter=s"], "segmenter_kid", "kid"),
        (
            ["log.segmenter=s", "log.inception_weights=i"],
            "kid",
            "segmenter_kid",
        ),
        (["log.diversity_maps=1"], "random_lpips", "lpips"),
        (
            [
                "log.diversity_maps=1",
                "log.lpips_backbone=b",
                "log.lpips_linear=l",
            ],
            "lpips",
            "random_lpips",
        ),
    ],
)
def test_the_best_score_must_be_taken(settings, taken, not_taken):
    config.override(SMALL, [*settings, f"log.best_score={taken}"])
    with pytest.raises(ValueError, match=f"'{not_taken}' must be a score that"):
        config.override(SMALL, [*settings, f"log.best_score={not_taken}"])


def test_distances_are_better_the_lower():
    scores = {
        *config.DISCRIMINATOR_SCORES,
        *config.JUDGE_SCORES,
        *config.INCEPTION_SCORES,
        *config.DIVERSITY_SCORES,
    }
    assert scores - set(config.LOWER_IS_BETTER) == {
        *("miou_real", "miou_fake", "segmenter_miou", "segmenter_accuracy"),
        *("precision", "recall", "segmenter_precision", "segmenter_recall"),
        *("lpips", "random_lpips"),
    }


def test_scores_that_a_patch_discriminator_cannot_give():
    settings = ["discriminator.kind=patch", "log.best_score=miou_real"]
    with pytest.raises(ValueError, match="is of a discriminator that segmen"):
        config.override(SMALL, settings)


def test_results_follow_from_all_but_what_is_logged_and_where_data_lie():
    settings = config.result_settings(SMALL)
    assert settings["train.num_steps"] == SMALL.train.num_steps
    assert settings["image_size"] == list(SMALL.image_size)
    for change, is_same in (
        ("log.log_every=7", True),
        ("data.prepared_dir=elsewhere", True),
        ("train.seed=7", False),
    ):
        changed = config.result_settings(config.override(SMALL, [change]))
        assert (changed == settings) == is_same
