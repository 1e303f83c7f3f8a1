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

Source: Schönfeld et al., You Only Need Adversarial Supervision for Semantic
Image Synthesis (arXiv:2012.04781).
"""
