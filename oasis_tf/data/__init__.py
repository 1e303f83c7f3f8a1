"""Data sets: facts about each, and the way from disk to batches."""

from oasis_tf.data.prepare import NAMES
from oasis_tf.data.prepare import Dataset
from oasis_tf.data.prepare import load

__all__ = ["NAMES", "Dataset", "load"]
