"""What `benchmarks.train_step` sets side by side."""

import dataclasses
import re

from benchmarks.pytorch_process import check_settings
from oasis_tf import config as config_lib

_MEMORY_FORMATS = {
    "pytorch": "channels_first",
    "pytorch=channels_last": "channels_last",
}


@dataclasses.dataclass
class Variant:
    """Settings of a training step that is measured.

    Args:
        name: as in `--variant`.
        config: `Config`.
        replicas: logical CPU devices; 0 for the devices that there are.
        memory_format: of PyTorch; None for our step.
        environment: {name: value} of variables for its process.
    """

    name: str
    config: config_lib.Config
    replicas: int = 0
    memory_format: str | None = None
    environment: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, base, name):
        """Returns the variant of a name.

        Raises:
            ValueError: if it is none.
        """
        words = name.split()
        formats = [w for w in words if w in _MEMORY_FORMATS]
        replicas = [w for w in words if w.startswith("replicas=")]
        variables = [w for w in words if re.match("[A-Z][A-Z0-9_]*=", w)]
        special = formats + replicas + variables
        settings = [w for w in words if w not in special]
        if len(formats) + len(replicas) > 1:
            raise ValueError(
                '`--variant` may have one of "pytorch" and "replicas". '
                f"Received: {name!r}."
            )
        variant = cls(name, config_lib.override(base, settings))
        variant.environment = dict(w.split("=", 1) for w in variables)
        if formats:
            check_settings(variant.config.train)
            variant.memory_format = _MEMORY_FORMATS[formats[0]]
        if replicas:
            text = replicas[0].partition("=")[2]
            if not text.isdecimal() or int(text) < 1:
                raise ValueError(
                    "`replicas` must be a number of devices, 1 at least. "
                    f"Received: {replicas[0]!r}."
                )
            variant.replicas = int(text)
        return variant
