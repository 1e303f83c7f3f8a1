"""Generated landscapes with label maps, for trying things out in minutes."""

from oasis_tf.data.toy_scenes.builder import Builder

__all__ = ["Builder"]
