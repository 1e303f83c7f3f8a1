"""Networks without what only training needs."""


def inference_form(network, has_fused_norm=True, has_winograd=False):
    """Returns a copy of a network that computes the same with less.

    Its kernels are divided by their largest singular value once and for all,
    batch norm uses the collected statistics, and everything is float32.

    Args:
        network: built `Generator` or `Discriminator`.
        has_fused_norm: whether batch norm is one operation, for runtimes that
            have it, or products and sums, for any.
        has_winograd: whether convolutions are `winograd.conv2d` where that is
            faster on CPUs; their kernels are larger, and sums are rounded in
            another order.

    Returns:
        Another one of the same class, which cannot be trained on, nor brought
        to this form again.
    """
    copy = type(network).from_config(
        network.get_config() | {"dtype": "float32"}
    )
    copy.build()
    for mine, original in zip(copy.variables, network.variables, strict=True):
        mine.assign(original.value)
    for block in copy.residual_blocks:
        for conv in block.spectral_convs:
            conv.fold(has_winograd)
        for norm in getattr(block, "batch_norms", []):  # The generator's.
            norm.is_fused = has_fused_norm
    return copy
