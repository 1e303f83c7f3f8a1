"""`DatasetInfo`: what a data set's labels mean."""

import dataclasses
import json
import types
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Names, colours and native ids of a data set's labels.

    Inside oasis_tf don't-care is label 0 and the classes are 1..N; where a
    data set has no don't-care, the classes are 0..N-1.

    Args:
        name: the data set's name, as in `--dataset`.
        class_names: `S` names; the first is don't-care's, where there is one.
        colors: `S` triples `(red, green, blue)`, 0..255.
        label_of_id: label, 0..S-1, of each id that may stand in the data
            set's own files. Several ids may have one label.
        has_dont_care: whether label 0 means "don't care".
        scored_labels: the labels that the data set's benchmark scores, in the
            order of its networks' numbers; empty: all classes, in ours.

    Raises:
        ValueError: if the parts do not fit together.
    """

    name: str
    class_names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    label_of_id: Mapping[int, int]
    has_dont_care: bool
    scored_labels: tuple[int, ...] = ()

    def __post_init__(self):
        label_of_id = {int(i): int(s) for i, s in self.label_of_id.items()}
        object.__setattr__(
            self, "label_of_id", types.MappingProxyType(label_of_id)
        )
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(
            self, "colors", tuple(tuple(map(int, c)) for c in self.colors)
        )
        object.__setattr__(self, "scored_labels", tuple(self.scored_labels))
        if len(self.colors) != len(self.class_names):
            raise ValueError(
                f"`colors` needs one entry per class name of {self.name!r}. "
                f"Received: {len(self.colors)} colours, "
                f"{len(self.class_names)} names."
            )
        wrong = {
            i: s
            for i, s in label_of_id.items()
            if not 0 <= s < len(self.class_names)
        }
        if wrong:
            raise ValueError(
                f"`label_of_id` of {self.name!r} must map to labels 0.."
                f"{len(self.class_names) - 1}. Received: {wrong}."
            )
        classes = self._classes
        if not set(self.scored_labels) <= set(classes):
            raise ValueError(
                f"`scored_labels` of {self.name!r} must be classes, "
                f"{classes.start}..{classes.stop - 1}. Received: "
                f"{self.scored_labels}."
            )

    @property
    def scored(self):
        """Labels that scores are of, in the order of `scored_labels`."""
        return self.scored_labels or tuple(self._classes)

    @property
    def _classes(self):
        return range(int(self.has_dont_care), self.semantic_channels)

    @property
    def semantic_channels(self):
        """S: the classes and, where there is one, don't-care."""
        return len(self.class_names)

    @property
    def num_classes(self):
        """N: the classes without don't-care."""
        return self.semantic_channels - int(self.has_dont_care)

    def native_id(self, label):
        """Returns the id that stands for `label` in the data set's files.

        Args:
            label: int, 0..S-1.

        Returns:
            The smallest such id, or None for a label without one.
        """
        ids = [i for i, s in self.label_of_id.items() if s == label]
        return min(ids, default=None)

    def to_json(self):
        """Returns the same as a JSON text, for `from_json`."""
        fields = vars(self) | {
            "label_of_id": {str(i): s for i, s in self.label_of_id.items()}
        }
        if not self.scored_labels:
            del fields["scored_labels"]  # As before there were any.
        return json.dumps(fields, indent=1)

    @classmethod
    def from_json(cls, text):
        """Returns the `DatasetInfo` that `to_json` wrote as `text`."""
        fields = json.loads(text)
        fields["label_of_id"] = {
            int(i): s for i, s in fields["label_of_id"].items()
        }
        return cls(**fields)
