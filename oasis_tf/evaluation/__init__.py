"""How good a generator or a segmenter is."""
