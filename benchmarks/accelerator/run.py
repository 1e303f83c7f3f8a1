"""Runs a program of lower.py on an accelerator: needs JAX and NumPy alone.

    python run.py --program=D --num_steps=20
    python run.py --program=D --data=data.npz --out=RUN --num_steps=20000

The first times it on made-up images. The second trains on those of pack.py:
RUN gets the variables, for load.py, and the losses; the same command again goes
on from there. Prints a Markdown table at the end.
"""

import argparse
import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import signal
import statistics
import sys
import time
import zipfile

import numpy as np


class RunError(RuntimeError):
    """Files that do not fit, or a loss that is not finite."""


@dataclasses.dataclass
class Timing:
    """What was measured of a program.

    Args:
        seconds: of each step, without the first and those that saved.
        peak_bytes: of the device's memory; None where it does not tell.
    """

    seconds: list
    peak_bytes: int | None = None


class Examples:
    """The examples of a packed file, drawn as batches.

    Every epoch goes through all of them in an order of its own. Which one
    sample n of a run is, how it is cropped and whether it is mirrored follow
    from the seed and n alone, so that a resumed run sees what it would have.

    Args:
        images: `[N, h, w, 3]`, uint8.
        label_maps: `[N, h, w]`, integer.
        size: (height, width) of the batches, in pixels; at most (h, w).
        has_flip: whether half of the samples are mirrored left to right.
        seed: int.
    """

    def __init__(self, images, label_maps, size, has_flip, seed):
        self._images = images
        self._label_maps = label_maps
        self._size = size
        self._has_flip = has_flip
        self._seed = seed
        self._epoch = None

    def batch(self, step, batch_size):
        """Returns the batch that follows `step` finished steps.

        Returns:
            {"image": `[B, H, W, 3]`, uint8; "label_map": `[B, H, W]`, int32;
            "sample_number": `[B]`, int64}: arrays.
        """
        numbers = np.arange(step * batch_size, (step + 1) * batch_size)
        images, label_maps = zip(*map(self._sample, numbers.tolist()))
        return {
            "image": np.stack(images),
            "label_map": np.stack(label_maps).astype(np.int32),
            "sample_number": numbers,
        }

    def _sample(self, number):
        epoch, place = divmod(number, len(self._images))
        if epoch != self._epoch:
            self._start(epoch)
        index, (top, left) = self._order[place], self._corners[place]
        height, width = self._size
        area = (index, slice(top, top + height), slice(left, left + width))
        image, label_map = self._images[area], self._label_maps[area]
        if self._is_flipped[place]:
            image, label_map = image[:, ::-1], label_map[:, ::-1]
        return image, label_map

    def _start(self, epoch):
        rng = np.random.default_rng([self._seed, epoch])
        count = len(self._images)
        self._epoch = epoch
        self._order = rng.permutation(count)
        room = np.subtract(self._images.shape[1:3], self._size)
        self._corners = rng.integers(0, room + 1, [count, 2])
        self._is_flipped = self._has_flip & (rng.random(count) < 0.5)


def read_manifest(folder):
    """Returns what lower.py says of a program: a dict.

    Raises:
        RunError: if it is missing or broken.
    """
    path = pathlib.Path(folder, "manifest.json")
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} must be there, as lower.py writes it. Received: {error}."
        ) from error


def read_variables(path, manifest):
    """Returns the variables of a file, compared with a program's.

    Args:
        path: of the .npz file.
        manifest: what `read_manifest` returned.

    Returns:
        {name: array}, those that the program does not use among them.

    Raises:
        RunError: if the file is missing or broken, or lacks a variable.
    """
    values = _read_arrays(path)
    for argument in manifest["arguments"]:
        if argument["kind"] != "variable":
            continue
        value = values.get(argument["name"])
        expected = argument["dtype"], tuple(argument["shape"])
        found = value is not None and (value.dtype.name, value.shape)
        if found != expected:
            raise RunError(
                f"{path} must hold the program's variables. Received: "
                f"{argument['name']} {found or 'missing'}, needs {expected}."
            )
    return values


def read_examples(path, manifest):
    """Returns the `Examples` of a file of pack.py for a program.

    Raises:
        RunError: if the file is missing or broken, or does not fit.
    """
    arrays = _read_arrays(path)
    config = manifest["config"]
    size, channels = config["image_size"], semantic_channels(manifest)
    try:
        images, label_maps = arrays["image"], arrays["label_map"]
    except KeyError as error:
        raise RunError(
            f"{path} must hold `image` and `label_map`. Received: "
            f"{list(arrays)}."
        ) from error
    if images.dtype != np.uint8 or images.shape != (*label_maps.shape, 3):
        raise RunError(
            f"{path}: `image` must be [N, H, W, 3], uint8, and `label_map` "
            f"[N, H, W]. Received: {images.shape}, {images.dtype} and "
            f"{label_maps.shape}."
        )
    if not len(images) or np.any(np.less(images.shape[1:3], size)):
        raise RunError(
            f"{path} must hold images of at least {size[0]} x {size[1]} "
            f"pixels. Received: {len(images)} images of {images.shape[1]} x "
            f"{images.shape[2]}."
        )
    if label_maps.min() < 0 or label_maps.max() >= channels:
        raise RunError(
            f"{path}: labels must be 0..{channels - 1}, as the program's. "
            f"Received: {label_maps.min()}..{label_maps.max()}."
        )
    return Examples(
        images,
        label_maps,
        size,
        config["data"]["flip"],
        config["train"]["seed"],
    )


def made_examples(manifest, count=16):
    """Returns `Examples` of noise, with a label for each 16 x 16 pixels."""
    height, width = size = manifest["config"]["image_size"]
    rng = np.random.default_rng(0)
    cells = rng.integers(
        0,
        semantic_channels(manifest),
        [count, -(-height // 16), -(-width // 16)],
        np.int32,
    )
    label_maps = cells.repeat(16, axis=1).repeat(16, axis=2)
    return Examples(
        rng.integers(0, 256, [count, *size, 3], np.uint8),
        label_maps[:, :height, :width],
        size,
        has_flip=True,
        seed=0,
    )


def semantic_channels(manifest):
    """Returns S."""
    return len(manifest["dataset"]["info"]["class_names"])


def write_arrays(path, arrays):
    """Writes an .npz file whole or not at all.

    Args:
        path: `pathlib.Path`.
        arrays: {name: array}.
    """
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _read_arrays(path):
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path} must be an .npz file that can be read. Received: {error}."
        ) from error


class Losses:
    """The losses by step, in a CSV file as oasis_tf keeps them.

    Args:
        path: of the file; None for none.
        step: finished steps; what the file has beyond them is dropped.
    """

    def __init__(self, path, step):
        self._path = path
        if path and path.is_file():
            # A line that was cut off in writing does not end.
            header, *rows = path.read_text().rpartition("\n")[0].splitlines()
            rows = [r for r in rows if float(r.partition(",")[0]) <= step]
            temporary = path.with_name(path.name + ".tmp")
            temporary.write_text("\n".join([header, *rows, ""]))
            os.replace(temporary, path)

    def add(self, step, losses):
        """Adds a line: {name: float}."""
        if not self._path:
            return
        is_new = not self._path.is_file()
        with open(self._path, "a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if is_new:
                writer.writerow(["step", *losses])
            writer.writerow([float(step), *losses.values()])


class Executable:
    """A program, compiled for a device.

    Args:
        folder: that lower.py wrote.
        manifest: what `read_manifest` returned.

    Raises:
        RunError: if JAX or the program is missing, or the compiler refuses it.
    """

    def __init__(self, folder, manifest):
        # Imported late, so that --help and files that do not fit need none.
        try:
            import jax
            from jax.extend import backend
        except ImportError as error:
            raise RunError(
                f"JAX is needed: pip install jax. Received: {error}."
            ) from error

        # Or else the numbers of steps and samples would become int32.
        jax.config.update("jax_enable_x64", True)
        self._jax = jax
        self._manifest = manifest
        self.num_reused = None
        """Variables whose old memory the first run took for the new ones."""
        client = backend.get_backend()
        self.device = client.local_devices()[0]
        path = pathlib.Path(folder, "program.mlir")
        options = backend.get_compile_options(
            1, 1, device_assignment=[self.device], backend=client
        )
        try:
            self._loaded = client.compile_and_load(
                path.read_text(), [self.device], options
            )
        except (OSError, jax.errors.JaxRuntimeError) as error:
            raise RunError(
                f"{path} must be there and compile for {self.device}. "
                f"Received: {error}"
            ) from error

    def put(self, arrays):
        """Copies arrays to the device: {name: array}, to the same."""
        return {
            name: self._jax.device_put(value, self.device)
            for name, value in arrays.items()
        }

    def __call__(self, inputs, variables):
        """Runs the program; returns before the device has finished.

        Args:
            inputs: {name: array}, on the host or the device.
            variables: {name: array} on the device. Those that the program
                writes to are replaced in it; their old memory is used again.

        Returns:
            {name: array} of the outputs, on the device.
        """
        arguments = [
            variables[argument["name"]]
            if argument["kind"] == "variable"
            else self._jax.device_put(
                np.asarray(inputs[argument["name"]], argument["dtype"]),
                self.device,
            )
            for argument in self._manifest["arguments"]
        ]
        # One array for each result and device.
        shards = self._loaded.execute_sharded(arguments)
        arrays = shards.disassemble_into_single_device_arrays()
        if self.num_reused is None:
            self.num_reused = sum(a.is_deleted() for a in arguments)
        outputs = {}
        for result, (array,) in zip(self._manifest["results"], arrays):
            is_update = result["kind"] == "update"
            (variables if is_update else outputs)[result["name"]] = array
        return outputs

    @property
    def planned_bytes(self):
        """What the compiled program needs at once; None if that is not told."""
        try:
            stats = self._loaded.get_compiled_memory_stats()
        except self._jax.errors.JaxRuntimeError:
            return None
        return (
            stats.argument_size_in_bytes
            + stats.output_size_in_bytes
            - stats.alias_size_in_bytes
            + stats.temp_size_in_bytes
        )

    @property
    def peak_bytes(self):
        """The most that the device had in use; None where it does not tell."""
        return (self.device.memory_stats() or {}).get("peak_bytes_in_use")


class Training:
    """A run of a training step's program.

    Args:
        executable: `Executable`.
        manifest: what `read_manifest` returned.
        variables: {name: array}, of `read_variables`.
        examples: `Examples`.
        out: `pathlib.Path` of the folder to save to; None: nothing is saved.
    """

    def __init__(self, executable, manifest, variables, examples, out):
        self._executable = executable
        self._manifest = manifest
        used = {
            a["name"] for a in manifest["arguments"] if a["kind"] == "variable"
        }
        # What the step does not use is kept for load.py.
        self._others = {n: v for n, v in variables.items() if n not in used}
        self._variables = executable.put({n: variables[n] for n in used})
        self.step = int(variables["step"])
        self._examples = examples
        self._out = out
        self._losses = Losses(out and out / "losses.csv", self.step)
        self._stop = False

    def train(self, num_steps, save_every, log_every, max_seconds):
        """Trains until `num_steps` are finished, or time or a signal ends it.

        The next batch is made while the device works, and a step's losses are
        looked at when the next one has been started.

        Returns:
            `Timing`.

        Raises:
            RunError: if a loss or a weight is not finite any more; what was
                saved before stays.
        """
        deadline = time.monotonic() + max_seconds
        batch_size = self._manifest["config"]["train"]["global_batch_size"]
        timing = Timing([])
        last, is_timed = time.perf_counter(), False  # The first is not.
        saved_step, running = self.step, None
        with self._signals():
            while self.step < num_steps and not self._stop:
                inputs = self._examples.batch(self.step, batch_size)
                started = self._executable(inputs, self._variables)
                self.step += 1
                self._stop |= time.monotonic() > deadline
                is_last = self.step >= num_steps or self._stop
                is_due = save_every > 0 and self.step % save_every == 0
                # Steps whose losses have come in; all of them, before saving.
                finished = [running] if running else []
                running = self.step, started
                if is_last or is_due:
                    finished.append(running)
                    running = None
                for step, outputs in finished:
                    losses = self._finite(step, outputs)
                    now = time.perf_counter()
                    if is_timed:
                        timing.seconds.append(now - last)
                    last, is_timed = now, True
                    if step % log_every == 0 or step >= num_steps:
                        self._log(step, losses, timing, batch_size)
                if is_due and not is_last:
                    saved_step = self._save()
                    is_timed = False  # The next one's time has the saving.
                    last = time.perf_counter()
        if self.step > saved_step:
            self._save()
        timing.peak_bytes = self._executable.peak_bytes
        return timing

    def _finite(self, step, outputs):
        losses = {name: float(value) for name, value in outputs.items()}
        for name, value in losses.items():
            if not np.isfinite(value):
                raise RunError(
                    f"Step {step}: the loss {name} is {value}. What was saved "
                    "is from before it."
                )
        return losses

    def _log(self, step, losses, timing, batch_size):
        self._losses.add(step, losses)
        texts = [f"{name} {value:.4g}" for name, value in losses.items()]
        if timing.seconds:
            rate = batch_size / statistics.median(timing.seconds[-50:])
            texts.append(f"{rate:.2f} images/s")
        print(f"step {step}: {', '.join(texts)}", flush=True)

    def _save(self):
        """Writes the variables, unless one is broken; returns their step."""
        if not self._out:
            return self.step
        values = {n: np.asarray(v) for n, v in self._variables.items()}
        for name, value in values.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise RunError(f"Step {self.step}: {name} is not finite.")
        write_arrays(self._out / "variables.npz", values | self._others)
        return self.step

    @contextlib.contextmanager
    def _signals(self):
        """Context in which SIGTERM and SIGINT end the loop after its step."""

        def stop(number, frame):
            del number, frame
            self._stop = True

        previous = {
            number: signal.signal(number, stop)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def draw(executable, manifest, variables, examples, out, num_batches):
    """Draws pictures with a generator's program.

    Args:
        executable, manifest, variables, examples, out: as of `Training`; the
            last batch's pictures go to `pictures.npz`.
        num_batches: how many times the program runs, at least 1.

    Returns:
        `Timing`.
    """
    (z,) = (a for a in manifest["arguments"] if a["name"] == "z")
    batch_size, _ = z["shape"]
    used = {a["name"] for a in manifest["arguments"] if a["kind"] == "variable"}
    variables = executable.put({n: variables[n] for n in used})
    seed = manifest["config"]["train"]["seed"]
    timing = Timing([])
    for number in range(num_batches):
        rng = np.random.default_rng([seed, number])
        inputs = examples.batch(number, batch_size)
        inputs["z"] = rng.standard_normal(z["shape"], np.float32)
        start = time.perf_counter()
        image = np.asarray(executable(inputs, variables)["image"])
        if number > 0:
            timing.seconds.append(time.perf_counter() - start)
    if out:
        write_arrays(out / "pictures.npz", inputs | {"picture": image})
    timing.peak_bytes = executable.peak_bytes
    return timing


def table(manifest, executable, timing):
    """Returns what was measured as a Markdown table: a text."""
    config = manifest["config"]
    batch_size = config["train"]["global_batch_size"]
    num_updates = sum(r["kind"] == "update" for r in manifest["results"])
    cells = {
        "Device": executable.device.device_kind,
        "Program": f"{manifest['program']}, {manifest['form']}",
        "Size": "{} x {}".format(*config["image_size"]),
        "Precision": config["train"]["precision"],
        "Batch": batch_size,
        "Timed": len(timing.seconds),
        "ms": "-",
        "Images/s": "-",
        "TFLOP": f"{manifest['flops'] / 1e12:.4g}",
        "TFLOP/s": "-",
        "Variables reused": f"{executable.num_reused} of {num_updates}",
        "Planned memory": _gib(executable.planned_bytes),
        "Peak memory": _gib(timing.peak_bytes),
    }
    if timing.seconds:
        median = statistics.median(timing.seconds)
        cells |= {
            "ms": f"{1e3 * median:.1f} ({1e3 * min(timing.seconds):.1f} to "
            f"{1e3 * max(timing.seconds):.1f})",
            "Images/s": f"{batch_size / median:.2f}",
            "TFLOP/s": f"{manifest['flops'] / 1e12 / median:.4g}",
        }
    rows = cells.keys(), ["---"] * len(cells), map(str, cells.values())
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _gib(num_bytes):
    return "-" if num_bytes is None else f"{num_bytes / 2**30:.3g} GiB"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--program", required=True, help="folder that lower.py wrote")
    add("--data", default="", help="file of pack.py; else made-up images")
    add("--out", default="", help="folder to save to; else nothing is saved")
    add(
        "--num_steps",
        type=int,
        required=True,
        help="finished steps at the end, those before this run among them;\n"
        "batches, for a generator",
    )
    add("--save_every", type=int, default=1000, help="steps; 0: at the end")
    add("--log_every", type=int, default=50, help="steps between two lines")
    add("--max_seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    try:
        print(_run(options))
    except RunError as error:
        sys.exit(f"run: {error}")


def _run(options):
    """Runs what the options say; returns the text to print."""
    for name in ("num_steps", "log_every"):
        if getattr(options, name) < 1:
            raise RunError(
                f"`--{name}` must be at least 1. Received: "
                f"{getattr(options, name)}."
            )
    manifest = read_manifest(options.program)
    path = pathlib.Path(options.program, "variables.npz")
    out = pathlib.Path(options.out) if options.out else None
    is_training = manifest["program"] == "train_step"
    if out:
        out.mkdir(parents=True, exist_ok=True)
        if (out / "manifest.json").is_file():
            if read_manifest(out) != manifest:
                raise RunError(
                    f"{out} must be new, or hold a run of the same program. "
                    "Received: one of another program."
                )
        else:
            _copy(pathlib.Path(options.program, "manifest.json"), out)
        if is_training and (out / "variables.npz").is_file():
            path = out / "variables.npz"
    variables = read_variables(path, manifest)
    if options.data:
        examples = read_examples(options.data, manifest)
    else:
        examples = made_examples(manifest)
    if is_training and variables["step"] >= options.num_steps:
        return f"{path} has finished {variables['step']} steps already."
    start = time.perf_counter()
    executable = Executable(options.program, manifest)
    seconds = time.perf_counter() - start
    print(f"Compiled for {executable.device} in {seconds:.1f} s.", flush=True)
    arguments = executable, manifest, variables, examples, out
    if is_training:
        timing = Training(*arguments).train(
            options.num_steps,
            options.save_every,
            options.log_every,
            options.max_seconds,
        )
    else:
        timing = draw(*arguments, options.num_steps)
    return table(manifest, executable, timing)


def _copy(path, folder):
    temporary = folder / (path.name + ".tmp")
    temporary.write_bytes(path.read_bytes())
    os.replace(temporary, folder / path.name)


if __name__ == "__main__":
    main()
