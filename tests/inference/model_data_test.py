"""Which data a trained model is measured on."""

import dataclasses

import pytest

from oasis_tf.data.toy_scenes import Builder
from oasis_tf.inference.model_data import load_data
from tests import tiny


@pytest.fixture
def config(tmp_path):
    return tiny.config(data={"prepared_dir": str(tmp_path)})


def test_is_the_models_own_with_other_settings(config):
    settings = ["data.num_train_scenes=3", "data.num_validation_scenes=1"]
    dataset = load_data(config, Builder.INFO, settings=settings)
    assert dataset.num_examples == {"train": 3, "validation": 1}


def test_settings_of_the_model_are_refused(config):
    with pytest.raises(ValueError, match=r"must be of the data set's.*lr=1"):
        load_data(config, Builder.INFO, settings=["train.generator_lr=1"])


def test_data_of_other_classes_are_refused(config):
    info = dataclasses.replace(
        Builder.INFO, class_names=("other", *Builder.INFO.class_names[1:])
    )
    with pytest.raises(ValueError, match="one of the model's classes"):
        load_data(config, info)
