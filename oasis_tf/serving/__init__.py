"""Local model server and client, speaking TensorFlow Serving's API.

What users of a server need:

    Client          pictures and label maps of a server, `client.Client`
    ServingError    what a call raises that the server did not answer
"""

import importlib

_PUBLIC = {
    "Client": "oasis_tf.serving.client",
    "ServingError": "oasis_tf.serving.transports",
}

__all__ = list(_PUBLIC)


def __dir__():
    return [*globals(), *_PUBLIC]


def __getattr__(name):
    # Imported when first asked for, so that commands answer `--help` at once.
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
