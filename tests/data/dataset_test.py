"""`DatasetInfo`: what a data set's labels mean."""

import pytest

from oasis_tf.data.dataset import DatasetInfo

FIELDS = {
    "name": "pets",
    "class_names": ("don't care", "cat", "dog"),
    "colors": ((0, 0, 0), (250, 0, 0), (0, 250, 0)),
    "label_of_id": {255: 0, 254: 0, 3: 1, 7: 2, 5: 2},
    "has_dont_care": True,
}
PETS = DatasetInfo(**FIELDS)


def test_dont_care_is_a_semantic_channel_but_no_class():
    assert (PETS.semantic_channels, PETS.num_classes) == (3, 2)


def test_without_dont_care_every_channel_is_a_class():
    info = DatasetInfo(**FIELDS | {"has_dont_care": False})
    assert (info.semantic_channels, info.num_classes) == (3, 3)


def test_native_id_is_the_smallest_of_a_label():
    assert [PETS.native_id(label) for label in range(3)] == [254, 3, 5]


def test_a_label_may_have_no_native_id():
    info = DatasetInfo(**FIELDS | {"label_of_id": {0: 1}})
    assert info.native_id(0) is None


def test_json_brings_the_same_back():
    text = PETS.to_json()
    again = DatasetInfo.from_json(text)
    assert again == PETS
    assert again.to_json() == text
    assert dict(again.label_of_id) == FIELDS["label_of_id"]


def test_parts_cannot_be_changed():
    label_of_id = dict(FIELDS["label_of_id"])
    info = DatasetInfo(**FIELDS | {"label_of_id": label_of_id})
    label_of_id[3] = 2  # The caller's own dictionary.
    assert info.label_of_id[3] == 1
    with pytest.raises(TypeError):
        info.label_of_id[3] = 2


def test_lists_are_taken_as_tuples():
    info = DatasetInfo(
        **FIELDS
        | {
            "class_names": list(FIELDS["class_names"]),
            "colors": [list(color) for color in FIELDS["colors"]],
        }
    )
    assert info == PETS


def test_rejects_another_number_of_colours():
    with pytest.raises(
        ValueError, match="per class name of 'pets'. Received: 2 colours, 3"
    ):
        DatasetInfo(**FIELDS | {"colors": FIELDS["colors"][:2]})


@pytest.mark.parametrize("label", [-1, 3])
def test_rejects_labels_that_are_no_channel(label):
    with pytest.raises(
        ValueError, match=rf"labels 0\.\.2. Received: {{9: {label}}}"
    ):
        DatasetInfo(**FIELDS | {"label_of_id": {9: label, 3: 1}})


def test_scored_are_all_classes_unless_told():
    assert PETS.scored == (1, 2)
    assert DatasetInfo(**FIELDS | {"has_dont_care": False}).scored == (0, 1, 2)
    info = DatasetInfo(**FIELDS | {"scored_labels": [2]})
    assert info.scored == (2,)
    assert DatasetInfo.from_json(info.to_json()) == info
    assert "scored_labels" not in PETS.to_json()


@pytest.mark.parametrize("label", [0, 3])
def test_rejects_scored_labels_that_are_no_class(label):
    with pytest.raises(ValueError, match=rf"1\.\.2. Received: \({label},\)"):
        DatasetInfo(**FIELDS | {"scored_labels": (label,)})
