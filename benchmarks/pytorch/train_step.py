"""One training iteration in plain PyTorch, to measure ours against.

The updates of `oasis_tf/training/train_step.py`: the generator's, then the
discriminator's with a new fake, then the average's. It does without what can be
done without: no gradients of the network that is not updated, fused Adam.
"""

import torch
import torch.nn.functional as F

from benchmarks.pytorch import networks


class Trainer:
    """The networks and what updates them.

    Args:
        generator, discriminator: on which it works.
        ema_generator: another one like `generator`, which becomes its average.
        has_dont_care: whether label 0 means don't-care.
        settings: dict of `generator_lr`, `discriminator_lr`, `beta_1`,
            `beta_2`, `epsilon`, `lambda_labelmix`, `class_balancing` and
            `ema_decay`, as in `TrainConfig`.
        memory_format: of the images; `torch.channels_last` is NHWC inside.
    """

    def __init__(
        self,
        generator,
        discriminator,
        ema_generator,
        has_dont_care,
        settings,
        memory_format=torch.contiguous_format,
    ):
        self._generator = generator.train()
        self._discriminator = discriminator.train()
        self._ema_generator = ema_generator.eval().requires_grad_(False)
        self._ema_generator.load_state_dict(generator.state_dict())
        self._has_dont_care = has_dont_care
        self._settings = settings
        self._memory_format = memory_format
        self._generator_optimizer = self._adam(generator, "generator_lr")
        self._discriminator_optimizer = self._adam(
            discriminator, "discriminator_lr"
        )

    def _adam(self, network, rate):
        settings = self._settings
        return torch.optim.Adam(
            network.parameters(),
            lr=settings[rate],
            betas=(settings["beta_1"], settings["beta_2"]),
            eps=settings["epsilon"],
            fused=True,
        )

    def draw(self, batch_size):
        """Returns a step's random draws, as `step` takes them."""
        channels = self._generator.noise_channels
        return {
            "generator_z": torch.randn(batch_size, channels),
            "discriminator_z": torch.randn(batch_size, channels),
            "class_bits": torch.randint(
                0, 2, [self._generator.semantic_channels]
            ),
        }

    def step(self, image, label_map, draws):
        """Updates both networks and the average.

        Args:
            image: `[B, H, W, 3]`, uint8 or, in [-1, 1], float32.
            label_map: `[B, H, W]`, int64. Labels, 0..S-1.
            draws: dict of `generator_z` and `discriminator_z`, `[B, Z]`,
                float32, and LabelMix's `class_bits`, `[S]`, int64.

        Returns:
            {name: scalar}: the losses, named as in `oasis_tf`.
        """
        real = image.permute(0, 3, 1, 2)
        if real.dtype == torch.uint8:
            real = real.float() / 127.5 - 1
        real = real.contiguous(memory_format=self._memory_format)
        semantic_map = networks.one_hot(
            label_map, self._generator.semantic_channels
        )
        class_weights = self._class_weights(semantic_map)
        losses = self._update_generator(
            semantic_map, label_map, class_weights, draws
        )
        losses |= self._update_discriminator(
            real, semantic_map, label_map, class_weights, draws
        )
        self._update_average()
        return losses

    def _generate(self, z, semantic_map):
        conditioning = networks.conditioning(z, semantic_map)
        return self._generator(
            conditioning.contiguous(memory_format=self._memory_format)
        )

    def _update_generator(self, semantic_map, label_map, class_weights, draws):
        self._discriminator.requires_grad_(False)
        self._generator_optimizer.zero_grad()
        fake = self._generate(draws["generator_z"], semantic_map)
        loss = real_loss(self._discriminator(fake), label_map, class_weights)
        loss.backward()
        self._generator_optimizer.step()
        self._discriminator.requires_grad_(True)
        return {"generator/adversarial": loss.detach()}

    def _update_discriminator(
        self, real, semantic_map, label_map, class_weights, draws
    ):
        self._discriminator_optimizer.zero_grad()
        with torch.no_grad():
            fake = self._generate(draws["discriminator_z"], semantic_map)
        fake_logits = self._discriminator(fake)
        real_logits = self._discriminator(real)
        losses = {
            "discriminator/fake": fake_loss(fake_logits),
            "discriminator/real": real_loss(
                real_logits, label_map, class_weights
            ),
        }
        if self._settings["lambda_labelmix"] > 0:
            mask = draws["class_bits"][label_map][:, None].float()
            mixed_logits = self._discriminator(mix(real, fake, mask))
            distance = F.mse_loss(
                mixed_logits, mix(real_logits, fake_logits, mask)
            )
            losses["discriminator/labelmix"] = (
                self._settings["lambda_labelmix"] * distance
            )
        sum(losses.values()).backward()
        self._discriminator_optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def _update_average(self):
        current = self._generator.state_dict()
        for name, average in self._ema_generator.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name], 1 - self._settings["ema_decay"])
            else:
                average.copy_(current[name])

    def _class_weights(self, semantic_map):
        """Returns alpha, `[S]`: n / (m * n_s); see `balanced_class_weights`."""
        counts = semantic_map.sum(dim=(0, 2, 3))
        num_pixels = counts.sum()
        if not self._settings["class_balancing"]:
            weights = torch.ones_like(counts)
            if self._has_dont_care:
                weights[0] = 0
            return weights
        if self._has_dont_care:
            counts[0] = 0
        weights = num_pixels / (torch.count_nonzero(counts) * counts)
        return torch.where(counts > 0, weights, 0)


def real_loss(logits, label_map, class_weights):
    """Returns the mean over pixels of alpha_s times the cross-entropy.

    Args:
        logits: `[B, S + 1, H, W]`. Channel 0 means "fake".
        label_map: `[B, H, W]`, int64. s, 0..S-1.
        class_weights: `[S]`. alpha.

    Source: OASIS (arXiv:2012.04781), Eq. 1, first term.
    """
    weights = F.pad(class_weights, (1, 0))
    total = F.cross_entropy(logits, label_map + 1, weights, reduction="sum")
    return total / label_map.numel()


def fake_loss(logits):
    """Returns the mean over pixels of the cross-entropy against "fake".

    Source: OASIS (arXiv:2012.04781), Eq. 1, second term.
    """
    is_fake = logits.new_zeros(logits[:, 0].shape, dtype=torch.int64)
    return F.cross_entropy(logits, is_fake)


def mix(real, fake, mask):
    """Returns M real + (1 - M) fake; `mask` is M, `[B, 1, H, W]`.

    Source: OASIS (arXiv:2012.04781), Section 3.2, LabelMix.
    """
    return mask * real + (1 - mask) * fake
