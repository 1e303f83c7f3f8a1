"""A small U-Net that segments images: a judge that no GAN has trained."""

import keras


def build_unet(semantic_channels, channels=(16, 32, 64, 128)):
    """Makes a segmentation network.

    Two convolutions at each size; half the size and on the way down, twice the
    size and what was there on the way down beside it on the way up.

    Args:
        semantic_channels: S.
        channels: of each size, from the image's: n of them work in multiples
            of 2^(n-1) pixels.

    Returns:
        `keras.Model`: from images `[B, H, W, 3]` in [-1, 1] to
        {"logits": `[B, H, W, S]`, "features": `[B, C]`}, float32. The features
        are the smallest size's means, C the last of `channels`.

    Source: Ronneberger et al., U-Net (arXiv:1505.04597), Figure 1; with padded
        convolutions and batch normalization.
    """
    image = keras.Input((None, None, 3), name="image")
    skips = []
    x = image
    for i, filters in enumerate(channels):
        if i > 0:
            x = keras.layers.MaxPooling2D()(x)
        x = _two_convolutions(x, filters, f"down_{i}")
        skips.append(x)
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    ways_up = zip(channels[-2::-1], skips[-2::-1], strict=True)
    for i, (filters, skip) in enumerate(ways_up):
        x = keras.layers.UpSampling2D()(x)
        x = keras.layers.Concatenate()([skip, x])
        x = _two_convolutions(x, filters, f"up_{i}")
    logits = keras.layers.Conv2D(semantic_channels, 1, name="logits")(x)
    return keras.Model(
        image, {"logits": logits, "features": features}, name="unet"
    )


def _two_convolutions(x, filters, name):
    # Named, for names are a checkpoint's keys and Keras's own are counted.
    for i in range(2):
        x = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            use_bias=False,
            name=f"{name}_conv_{i}",
        )(x)
        x = keras.layers.BatchNormalization(
            momentum=0.9, name=f"{name}_norm_{i}"
        )(x)
        x = keras.layers.ReLU()(x)
    return x
