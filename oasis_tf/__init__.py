"""OASIS: semantic image synthesis with adversarial supervision only.

Symbols in every docstring and shape comment:

    B      images in the tensor: per replica inside the step, global outside
    H, W   height, width in pixels, always in this order; h, w at a lower
           resolution
    S      semantic channels: classes, and 1 more if there is a don't-care id
    Z      noise channels
    C      channels of an activation

    label_map      class ids, `[B, H, W]` int32; 0 is don't-care, if there is
    semantic_map   one-hot labels, `[B, H, W, S]` (the paper's t)
    z, noise       latent vector `[B, Z]`, 3D noise `[B, H, W, Z]`
    conditioning   noise and semantic map together, in this order
    real, fake, mixed   images, float32 in [-1, 1], `[B, H, W, 3]`
    logits         the discriminator's, `[B, H, W, S + 1]`; channel 0 is "fake"

What most users need, each with an example in its docstring:

    load_generator(model)   pictures of label maps, `TrainedGenerator`
    load_segmenter(model)   label maps of pictures, `Segmenter`
    Noise                   the look of a picture, whole or part by part

Source: Schönfeld et al., You Only Need Adversarial Supervision for Semantic
Image Synthesis (arXiv:2012.04781).
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "load_generator": "oasis_tf.inference.generator",
    "load_segmenter": "oasis_tf.inference.segmenter",
    "Noise": "oasis_tf.inference.noise",
}

__all__ = list(_PUBLIC)


def __dir__():
    return [*globals(), *_PUBLIC]


def __getattr__(name):
    # Imported when first asked for, so that commands answer `--help` at once.
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
