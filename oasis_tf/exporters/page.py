"""The page that draws in a browser: its files, and a server of them."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from aiohttp import web

from oasis_tf.data import reading
from oasis_tf.data.label_map import restore

_NUM_EXAMPLES = 8
_LAST_LINES = 5  # Of what npm says when it fails.
_BACKENDS = ("wasm", "webgl", "webgpu")


class PageError(Exception):
    """The page cannot be made: something is not there."""


def build(folder, model, label_maps, info):
    """Writes the page with its libraries, its model and its examples.

    Args:
        folder: path. What is in there from another build is replaced.
        model: path of a folder that `tfjs.export_generator` wrote.
        label_maps: list of `[H, W]` int32 arrays, labels, to start from.
        info: `DatasetInfo`.

    Raises:
        PageError: if TensorFlow.js cannot be installed.
    """
    folder = pathlib.Path(folder)
    source = _source()
    libraries = _libraries(source)
    for file in source.iterdir():
        if file.suffix in (".html", ".css", ".js"):
            shutil.copyfile(file, folder / file.name)
    model_parts = sorted(pathlib.Path(model).iterdir())
    for target, parts in (("vendor", libraries), ("model", model_parts)):
        with _replaced(folder / target) as part:
            for file in parts:
                name = file.name.replace(".es2017.min", "")
                shutil.copyfile(file, part / name)
    examples = []
    with _replaced(folder / "examples") as part:
        for i, label_map in enumerate(label_maps[:_NUM_EXAMPLES]):
            path = part / f"{i + 1}.png"
            path.write_bytes(reading.encode_label_map(restore(label_map, info)))
            examples.append(f"examples/{path.name}")
    page = {"model": "model", "examples": examples}
    (folder / "page.json").write_text(json.dumps(page, indent=1))


@contextlib.contextmanager
def _replaced(folder):
    """Context with a new folder, which takes the old one's place at its end."""
    with tempfile.TemporaryDirectory(
        prefix=".", dir=folder.parent
    ) as temporary:
        new = pathlib.Path(temporary, "new")
        new.mkdir()
        yield new
        if folder.exists():
            os.rename(folder, os.path.join(temporary, "old"))
        os.rename(new, folder)


def _source():
    """Returns the page's own files: in a clone, or inside of the package."""
    package = pathlib.Path(__file__).parents[1]
    installed = package / "web"
    return installed if installed.is_dir() else package.parent / "serving/web"


def _libraries(source):
    """Returns the files of TensorFlow.js, installed where they are not yet."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(cache, "oasis_tf", "tfjs_libraries")
    lock = (source / "package-lock.json").read_text()
    ready = folder / ".ready"
    if not ready.is_file() or ready.read_text() != lock:
        _install(source, folder)
        ready.write_text(lock)
    packages = folder / "node_modules/@tensorflow"
    names = ["core", "converter", *(f"backend-{name}" for name in _BACKENDS)]
    return [
        packages / f"tfjs-{name}/dist/tf-{name}.es2017.min.js" for name in names
    ] + sorted(packages.glob("tfjs-backend-wasm/dist/*.wasm"))


def _install(source, folder):
    npm = shutil.which("npm")
    if not npm:
        raise PageError(
            "npm must be on the PATH, to install TensorFlow.js for the page "
            "once. Received: none there; it comes with Node.js."
        )
    print("Installing TensorFlow.js for the page, once...")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(source / name, folder / name)
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        raise PageError(
            "TensorFlow.js must be installed once, for which npm needs its "
            "package index; afterwards this works offline. Received exit code "
            f"{done.returncode}:\n" + "\n".join(lines[-_LAST_LINES:])
        )


@web.middleware
async def _headers(request, handler):
    response = await handler(request)
    # With these a page may share memory with its workers, which the threads of
    # WebAssembly need; a model server is asked all the same.
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cross-Origin-Embedder-Policy"] = "require-corp"
    # What is built anew is loaded anew.
    response.headers["Cache-Control"] = "no-cache"
    return response


def application(folder):
    """Returns the `aiohttp.web.Application` that serves a page's folder."""
    application = web.Application(middlewares=[_headers])

    async def index(request):
        return web.FileResponse(pathlib.Path(folder, "index.html"))

    application.router.add_get("/", index)
    application.router.add_static("/", folder)
    return application


def serve(folder, host, port):
    """Serves a page's folder until SIGINT or SIGTERM.

    Raises:
        OSError: if the port is taken.
    """
    web.run_app(
        application(folder),
        host=host,
        port=port,
        print=lambda _: print(
            f"Open http://{host}:{port} in a browser. Ctrl-C ends it.",
            flush=True,
        ),
    )
