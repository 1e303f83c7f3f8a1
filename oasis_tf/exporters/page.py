"""The page that draws in a browser: its files, and a server of them."""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile

from aiohttp import web

from oasis_tf.data import reading
from oasis_tf.data.label_map import restore
from oasis_tf.exporters.installed import InstallationError
from oasis_tf.exporters.installed import cache_folder
from oasis_tf.exporters.installed import locked
from oasis_tf.exporters.installed import run

_NUM_EXAMPLES = 8
_PAGE = "page.json"
_BACKENDS = ("wasm", "webgl", "webgpu")


def check_folder(folder):
    """Raises a ValueError if a folder holds something else than a page.

    What a build replaces would be lost.

    Args:
        folder: path; it need not be there.
    """
    folder = pathlib.Path(folder)
    if (
        folder.is_dir()
        and any(folder.iterdir())
        and not (folder / _PAGE).is_file()
    ):
        raise ValueError(
            f"{folder} must be empty, or hold a page of before. Received: a "
            f"folder with other files, without {_PAGE}."
        )


def build(folder, model, label_maps, info):
    """Writes the page with its libraries, its model and its examples.

    Args:
        folder: path. What is in there from another build is replaced.
        model: path of a folder that `tfjs.export_generator` wrote.
        label_maps: list of `[H, W]` int32 arrays, labels, to start from.
        info: `DatasetInfo`.

    Raises:
        InstallationError: if TensorFlow.js cannot be installed.
        ValueError: if the folder holds something else.
    """
    folder = pathlib.Path(folder)
    check_folder(folder)
    parts = libraries()
    folder.mkdir(parents=True, exist_ok=True)
    # It comes first: a build that is cut off can be done again.
    page = {"dataset": info.name, "model": "model", "examples": []}
    (folder / _PAGE).write_text(json.dumps(page))
    for file in _source().iterdir():
        if file.suffix in (".html", ".css", ".js"):
            shutil.copyfile(file, folder / file.name)
    model_parts = sorted(pathlib.Path(model).iterdir())
    for target, files in (("vendor", parts), ("model", model_parts)):
        with _replaced(folder / target) as part:
            for file in files:
                name = file.name.replace(".es2017.min", "")
                shutil.copyfile(file, part / name)
    with _replaced(folder / "examples") as part:
        for i, label_map in enumerate(label_maps[:_NUM_EXAMPLES]):
            path = part / f"{i + 1}.png"
            path.write_bytes(reading.encode_label_map(restore(label_map, info)))
            page["examples"].append(f"examples/{path.name}")
    (folder / _PAGE).write_text(json.dumps(page, indent=1))


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


def libraries():
    """Returns the files of TensorFlow.js, installed where they are not yet.

    Raises:
        InstallationError: if they cannot be.
    """
    source = _source()
    folder = cache_folder("tfjs_libraries")
    lock = (source / "package-lock.json").read_text()
    with locked(folder):
        ready = folder / ".ready"
        files = _library_files(folder)
        if not (
            ready.is_file()
            and ready.read_text() == lock
            and all(file.is_file() for file in files)
        ):
            ready.unlink(missing_ok=True)
            _install(source, folder)
            ready.write_text(lock)
    return files


def _library_files(folder):
    packages = folder / "node_modules/@tensorflow"
    names = ["core", "converter", *(f"backend-{name}" for name in _BACKENDS)]
    scripts = [
        packages / f"tfjs-{name}/dist/tf-{name}.es2017.min.js" for name in names
    ]
    return scripts + [
        packages / f"tfjs-backend-wasm/dist/tfjs-backend-wasm{kind}.wasm"
        for kind in ("", "-simd", "-threaded-simd")
    ]


def _install(source, folder):
    npm = shutil.which("npm")
    if not npm:
        raise InstallationError(
            "npm must be on the PATH, to install TensorFlow.js for the page "
            "once. Received: none there; it comes with Node.js."
        )
    print("Installing TensorFlow.js for the page, once...")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(source / name, folder / name)
    run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        "TensorFlow.js must be installed once, for which npm needs its "
        "registry; afterwards this works offline",
        cwd=folder,
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
