"""Cityscapes: street scenes of fifty cities with 34 classes."""

from oasis_tf.data.cityscapes.builder import Builder

__all__ = ["Builder"]
