"""Tiny data sets in the layouts of real ones, and preparing them with TFDS."""

import contextlib
import functools
import http.server
import threading

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


def write_image(path, height=6, width=8):
    """Writes an RGB image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(height * width * 3) % 256
    Image.fromarray(pixels.reshape(height, width, 3).astype(np.uint8)).save(
        path
    )


def write_label(path, ids, height=6, width=8):
    """Writes a label map whose first row begins with `ids`; id 1 elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.ones((height, width), np.uint8)
    pixels[0, : len(ids)] = ids
    Image.fromarray(pixels).save(path)


def prepare(name, data_dir, raw_dir=None):
    """Returns the splits that `tfds.load` makes of a folder or a download."""
    config = tfds.download.DownloadConfig(manual_dir=raw_dir)
    return tfds.load(
        name,
        data_dir=data_dir,
        download_and_prepare_kwargs={"download_config": config},
    )


def sizes(splits):
    """Returns the number of examples of each split."""
    return {name: len(split) for name, split in splits.items()}


def first_labels(split, count):
    """Returns the first `count` labels of the first row, by example name."""
    return {
        example["name"].decode(): example["label_map"][0, :count, 0].tolist()
        for example in tfds.as_numpy(split)
    }


@contextlib.contextmanager
def served(folder):
    """Serves a folder's files over HTTP; gives their address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
