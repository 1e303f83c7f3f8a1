"""ADE20K-outdoors: the outdoor scenes of ADE20K."""

from oasis_tf.data.ade20k_outdoors.builder import Builder

__all__ = ["Builder"]
