"""The two networks in plain PyTorch, to measure ours against.

Written as the papers have them and as PyTorch is usually written: NCHW, dense
one-hot label maps, `torch.nn.utils.spectral_norm`. Modules are named so that
`load_state_dict` takes the published checkpoints' tensors; what else the names
of arguments mean is said in `oasis_tf/models`.

S is the number of semantic channels, Z of noise channels.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import spectral_norm


class SPADE(nn.Module):
    """norm(x) * (1 + gamma(conditioning)) + beta(conditioning).

    Source: Park et al., SPADE (arXiv:1903.07291), Eq. 1.
    """

    def __init__(self, channels, conditioning_channels, hidden_channels):
        super().__init__()
        self.first_norm = nn.BatchNorm2d(channels, affine=False)
        self.mlp_shared = nn.Sequential(
            nn.Conv2d(conditioning_channels, hidden_channels, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.mlp_gamma = nn.Conv2d(hidden_channels, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden_channels, channels, 3, padding=1)

    def forward(self, x, conditioning):
        hidden = self.mlp_shared(conditioning)
        gamma, beta = self.mlp_gamma(hidden), self.mlp_beta(hidden)
        return self.first_norm(x) * (1 + gamma) + beta


class SPADEResBlock(nn.Module):
    """Residual block of the generator.

    Source: Park et al., SPADE (arXiv:1903.07291), Figure 4 and Appendix A.
    """

    def __init__(self, channels_in, channels, conditioning_channels, hidden):
        super().__init__()
        middle = min(channels_in, channels)
        self.norm_0 = SPADE(channels_in, conditioning_channels, hidden)
        self.conv_0 = _spectral_conv(channels_in, middle, 3)
        self.norm_1 = SPADE(middle, conditioning_channels, hidden)
        self.conv_1 = _spectral_conv(middle, channels, 3)
        self.has_conv_s = channels_in != channels
        if self.has_conv_s:
            self.norm_s = SPADE(channels_in, conditioning_channels, hidden)
            self.conv_s = _spectral_conv(channels_in, channels, 1, bias=False)

    def forward(self, x, conditioning):
        conditioning = F.interpolate(conditioning, size=x.shape[2:])
        y = self.conv_0(_activation(self.norm_0(x, conditioning)))
        y = self.conv_1(_activation(self.norm_1(y, conditioning)))
        if self.has_conv_s:
            x = self.conv_s(self.norm_s(x, conditioning))
        return x + y


class Generator(nn.Module):
    """From `[B, Z + S, H, W]`, noise and one-hot labels, to `[B, 3, H, W]`.

    Source: OASIS (arXiv:2012.04781), Section 3.3.
    """

    def __init__(
        self, semantic_channels, noise_channels, channels, spade_channels
    ):
        super().__init__()
        conditioning_channels = noise_channels + semantic_channels
        self.semantic_channels = semantic_channels
        self.noise_channels = noise_channels
        self.fc = nn.Conv2d(conditioning_channels, channels[0], 3, padding=1)
        self.body = nn.ModuleList(
            SPADEResBlock(before, after, conditioning_channels, spade_channels)
            for before, after in zip(channels, channels[1:])
        )
        self.conv_img = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, conditioning):
        height, width = conditioning.shape[2:]
        stride = 2 ** (len(self.body) - 1)
        # "Nearest", the default, takes the top-left pixel of each cell.
        x = F.interpolate(
            conditioning, size=(height // stride, width // stride)
        )
        x = self.fc(x)
        for i, block in enumerate(self.body):
            if i > 0:
                x = F.interpolate(x, scale_factor=2)
            x = block(x, conditioning)
        return torch.tanh(self.conv_img(_activation(x)))


class DiscriminatorBlock(nn.Module):
    """Residual block of the discriminator, halving or doubling the size.

    Source: OASIS (arXiv:2012.04781), Section 3.2.
    """

    def __init__(self, channels_in, channels, sampling, first=False):
        super().__init__()
        # Not in place: the shortcut reads x, too.
        before = [] if first else [nn.LeakyReLU(0.2)]
        if sampling == "up":
            before.append(nn.Upsample(scale_factor=2))
        self.conv1 = nn.Sequential(
            *before, _spectral_conv(channels_in, channels, 3)
        )
        self.conv2 = nn.Sequential(
            nn.LeakyReLU(0.2, inplace=True),
            _spectral_conv(channels, channels, 3),
        )
        self.sampling = sampling
        self.has_conv_s = channels_in != channels
        if self.has_conv_s:
            self.conv_s = _spectral_conv(channels_in, channels, 1)

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        # A 1 x 1 convolution commutes with repeating and averaging pixels:
        # it is taken where the picture is small.
        if self.sampling == "down":
            x = F.avg_pool2d(x, 2)
        if self.has_conv_s:
            x = self.conv_s(x)
        if self.sampling == "down":
            return x + F.avg_pool2d(y, 2)
        return F.interpolate(x, scale_factor=2) + y


class Discriminator(nn.Module):
    """From `[B, 3, H, W]` to logits `[B, S + 1, H, W]`; channel 0 is "fake".

    Source: OASIS (arXiv:2012.04781), Section 3.2.
    """

    def __init__(self, semantic_channels, channels, last_channels):
        super().__init__()
        self.body_down = nn.ModuleList(
            DiscriminatorBlock(before, after, "down", first=i == 0)
            for i, (before, after) in enumerate(zip((3, *channels), channels))
        )
        up_channels = (*channels[-2::-1], last_channels)
        # From the second on, a block sees the one below and the skip.
        skips = (0, *channels[-2::-1])
        below = (channels[-1], *up_channels)
        self.body_up = nn.ModuleList(
            DiscriminatorBlock(skip + before, after, "up")
            for skip, before, after in zip(skips, below, up_channels)
        )
        self.layer_up_last = nn.Conv2d(last_channels, semantic_channels + 1, 1)

    def forward(self, image):
        x = image
        skips = []
        for block in self.body_down:
            x = block(x)
            skips.append(x)
        x = self.body_up[0](x)
        for block, skip in zip(self.body_up[1:], skips[-2::-1]):
            x = block(torch.cat([skip, x], dim=1))
        return self.layer_up_last(x)


def initialize(network, gain):
    """Draws kernels as ours are, Glorot normal times a gain; biases are 0."""
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.xavier_normal_(parameter, gain)


def conditioning(noise, semantic_map):
    """Returns what the generator takes.

    Args:
        noise: `[B, Z]`, a vector for each image, or 3D `[B, Z, H, W]`.
        semantic_map: `[B, S, H, W]`. One-hot labels.

    Returns:
        `[B, Z + S, H, W]`.
    """
    if noise.ndim == 2:
        noise = noise[:, :, None, None]
        noise = noise.expand(-1, -1, *semantic_map.shape[2:])
    return torch.cat([noise, semantic_map], dim=1)


def one_hot(label_map, semantic_channels):
    """Returns `[B, S, H, W]`, float32, of labels `[B, H, W]`, int64."""
    batch, height, width = label_map.shape
    semantic_map = torch.zeros(batch, semantic_channels, height, width)
    return semantic_map.scatter_(1, label_map[:, None], 1.0)


def _spectral_conv(channels_in, channels, size, bias=True):
    return spectral_norm(
        nn.Conv2d(channels_in, channels, size, padding=size // 2, bias=bias)
    )


def _activation(x):
    # In place: what it is applied to, a sum or a convolution, is read by
    # nothing else.
    return F.leaky_relu(x, 0.2, inplace=True)
