"""Colours that can be told apart."""

import numpy as np
import pytest
from skimage import color

from oasis_tf.data.colors import distinct_colors


@pytest.mark.parametrize("num_colors, distance", [(2, 60), (12, 40), (182, 12)])
def test_colors_are_far_apart(num_colors, distance):
    colors = np.array([(0, 0, 0), *distinct_colors(num_colors)])
    lab = color.rgb2lab(colors / 255)
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    apart = distances[~np.eye(len(lab), dtype=bool)]
    assert apart.min() > distance


def test_first_colors_stay():
    assert distinct_colors(20) == distinct_colors(50)[:20]
    assert distinct_colors(0) == ()


def test_colors_are_plain_ints():
    assert {type(c) for rgb in distinct_colors(3) for c in rgb} == {int}


def test_too_many():
    with pytest.raises(ValueError, match="Received: 100000"):
        distinct_colors(100_000)
