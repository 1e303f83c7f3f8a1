"""Golden numbers and the networks they belong to; see golden/README.md."""

import pathlib

import numpy as np

from oasis_tf.config import DiscriminatorConfig
from oasis_tf.config import GeneratorConfig
from oasis_tf.models import published
from tests.parity.golden import reference_weights

SEMANTIC_CHANNELS = 6
GENERATOR = GeneratorConfig(
    channels=(64, 64, 64, 32, 16, 8, 4), noise_channels=8
)
DISCRIMINATOR = DiscriminatorConfig()


def load(name):
    """Returns {array name: array} of `golden/<name>.npz`."""
    path = pathlib.Path(__file__).parent / "golden" / f"{name}.npz"
    with np.load(path) as arrays:
        return dict(arrays)


def state_dict(network):
    """Returns the rule-made weights of "generator" or "discriminator"."""
    return reference_weights.state_dict(f"{network}.json")


def set_weights(model, network):
    """Gives a model the rule-made weights of "generator", "discriminator"."""
    published.load_state_dict(model, state_dict(network))
