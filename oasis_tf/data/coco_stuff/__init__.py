"""COCO-Stuff: everyday scenes with 182 classes of things and stuff."""

from oasis_tf.data.coco_stuff.builder import Builder

__all__ = ["Builder"]
