"""ADE20K: indoor and outdoor scenes of all sorts with 150 classes."""

from oasis_tf.data.ade20k.builder import Builder

__all__ = ["Builder"]
