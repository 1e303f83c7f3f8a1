"""PyTorch's side of the benchmarks: works by command, see `PyTorchProcess`.

    python -m benchmarks.pytorch.worker

Runs where PyTorch and NumPy are, without TensorFlow and `oasis_tf`. Arrays come
and go in .npz files, channels last.
"""

import contextlib
import time

import numpy as np
import torch

from benchmarks import peak_memory
from benchmarks import processes
from benchmarks.pytorch import networks
from benchmarks.pytorch.train_step import Trainer

_MEMORY_FORMATS = {
    "channels_first": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


class _Worker:
    def __init__(self):
        self._libraries = peak_memory.resident()
        self._memory_format = torch.contiguous_format
        self._generator = None
        self._discriminator = None
        self._trainer = None
        self._batch = None
        self._peak = peak_memory.Peak()

    def configure(self, threads, memory_format, seed):
        """Sets what is to be set before anything is computed."""
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(threads)
        torch.manual_seed(seed)
        self._memory_format = _MEMORY_FORMATS[memory_format]
        return {"threads": torch.get_num_threads()}

    def make(self, generator, discriminator, gains):
        """Makes networks of such sizes; None for none."""
        if generator:
            self._generator = networks.Generator(**generator)
            networks.initialize(self._generator, gains[0])
            self._generator.to(memory_format=self._memory_format)
        if discriminator:
            self._discriminator = networks.Discriminator(**discriminator)
            networks.initialize(self._discriminator, gains[1])
            self._discriminator.to(memory_format=self._memory_format)

    def load(self, network, path):
        """Gives "generator" or "discriminator" the tensors of a file."""
        with np.load(path) as arrays:
            tensors = {n: torch.from_numpy(arrays[n]) for n in arrays.files}
        self._network(network).load_state_dict(tensors)

    def _network(self, name):
        return {
            "generator": self._generator,
            "discriminator": self._discriminator,
        }[name]

    def draw(self, path, out, is_measured):
        """Draws from "noise" and "label_map"; returns the seconds."""
        with np.load(path) as arrays:
            noise = torch.from_numpy(arrays["noise"])
            label_map = torch.from_numpy(arrays["label_map"]).long()
        if noise.ndim == 4:
            noise = noise.permute(0, 3, 1, 2)
        self._generator.eval()
        with self._measured(is_measured), torch.inference_mode():
            start = time.perf_counter()
            semantic_map = networks.one_hot(
                label_map, self._generator.semantic_channels
            )
            conditioning = networks.conditioning(noise, semantic_map)
            image = self._generator(
                conditioning.contiguous(memory_format=self._memory_format)
            )
            seconds = time.perf_counter() - start
        np.savez(out, image=image.permute(0, 2, 3, 1).numpy())
        return seconds

    @contextlib.contextmanager
    def _measured(self, is_measured):
        """Context that measures its peak of memory, or does nothing."""
        if is_measured:
            with peak_memory.measure() as self._peak:
                yield
        else:
            yield

    def judge(self, path, out):
        """Writes the logits of "image"."""
        with np.load(path) as arrays:
            image = torch.from_numpy(arrays["image"]).permute(0, 3, 1, 2)
        self._discriminator.eval()
        with torch.inference_mode():
            logits = self._discriminator(
                image.contiguous(memory_format=self._memory_format)
            )
        np.savez(out, logits=logits.permute(0, 2, 3, 1).numpy())

    def prepare_training(self, path, sizes, has_dont_care, settings):
        """Makes optimizers and the average; takes a batch to train on."""
        with np.load(path) as arrays:
            image = torch.from_numpy(arrays["image"])
            label_map = torch.from_numpy(arrays["label_map"]).long()
        self._batch = image, label_map
        average = networks.Generator(**sizes)
        average.to(memory_format=self._memory_format)
        self._trainer = Trainer(
            self._generator,
            self._discriminator,
            average,
            has_dont_care,
            settings,
            self._memory_format,
        )

    def train_step(self, path):
        """Takes one step on a file's batch and draws; returns the losses."""
        with np.load(path) as arrays:
            given = {n: torch.from_numpy(arrays[n]) for n in arrays.files}
        losses = self._trainer.step(
            given.pop("image"),
            given.pop("label_map").long(),
            given | {"class_bits": given["class_bits"].long()},
        )
        return {name: loss.item() for name, loss in losses.items()}

    def train_steps(self, num_steps, is_measured):
        """Takes steps on the prepared batch; returns the seconds."""
        image, label_map = self._batch
        with self._measured(is_measured):
            start = time.perf_counter()
            for _ in range(num_steps):
                draws = self._trainer.draw(len(image))
                losses = self._trainer.step(image, label_map, draws)
            losses["generator/adversarial"].item()
            return time.perf_counter() - start

    def peak(self):
        """Returns the last measured peak, and what the libraries take."""
        return {
            "num_bytes": self._peak.num_bytes,
            "increase": self._peak.increase,
            "libraries": self._libraries,
        }


def main():
    worker = _Worker()
    names = (
        *("configure", "make", "load", "draw", "judge", "prepare_training"),
        *("train_step", "train_steps", "peak"),
    )
    processes.answer({name: getattr(worker, name) for name in names})


if __name__ == "__main__":
    main()
