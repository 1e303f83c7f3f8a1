"""Which versions of which models are loaded: policies, labels, reload."""

import dataclasses
import math
import pathlib
import threading
import time

from absl import logging

from oasis_tf.serving import metrics as metrics_lib
from oasis_tf.serving.servable import Servable
from oasis_tf.serving.status import StatusError

START, LOADING, AVAILABLE = "START", "LOADING", "AVAILABLE"
UNLOADING, END = "UNLOADING", "END"

_SAY_AGAIN = 30  # Seconds between warnings of one model without versions.
_GOES_ON = "What was loaded before goes on serving."
_TICK = 0.2  # Seconds; how soon retries and removals are noticed at most.


@dataclasses.dataclass
class VersionStatus:
    """Where a version is in its life. Changed by the manager alone."""

    folder: pathlib.Path
    state: str = START
    error: StatusError | None = None
    servable: Servable | None = None
    is_wanted: bool = True
    num_attempts: int = 0
    next_attempt: float = 0.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """How models are looked for and loaded; TF Serving's defaults.

    Args:
        poll_seconds: between looks for new versions; 0 for one look only.
        max_retries: of a load that failed.
        retry_seconds: between these.
        warmup_iterations: of each warm-up request; 0 for no warm-up.
        allow_labels: whether a new label may name a version that is not
            loaded yet.
        tags: of the graph in a SavedModel.
        session_config: `tf.compat.v1.ConfigProto`, or None.
    """

    poll_seconds: float = 1
    max_retries: int = 5
    retry_seconds: float = 60
    warmup_iterations: int = 1
    allow_labels: bool = False
    tags: frozenset = frozenset({"serve"})
    session_config: object = None


class ModelManager:
    """Loads, warms and unloads versions as the configuration wants.

    Args:
        settings: `Settings`.
        metrics: `Metrics`.
    """

    def __init__(self, settings, metrics):
        self._settings = settings
        self._metrics = metrics
        self._models = {}  # name -> Model
        self._versions = {}  # name -> {version: VersionStatus}
        self._changed = threading.Condition()
        self._is_closing = False
        self._is_due = True  # Whether to look for versions now.
        self._is_looking = False
        self._last_told = {}  # name -> time of the last warning
        self._thread = threading.Thread(
            target=self._manage, name="models", daemon=True
        )

    def start(self, models):
        """Starts with some models.

        Args:
            models: list of `Model`.

        Raises:
            StatusError: if their labels are refused.
        """
        self.reload(models, wait=False)
        self._thread.start()

    def wait_until_loaded(self):
        """Waits until every model has a version.

        One whose folder holds no version is waited for.

        Raises:
            StatusError: if one cannot be loaded.
        """
        self._wait_for([*self._models], is_waiting_for_files=True)

    def reload(self, models, wait=True):
        """Replaces the whole list of models.

        Args:
            models: list of `Model`.
            wait: whether to wait until each new one has a version.

        Raises:
            StatusError: if labels are refused, and all stays as it was; or if
                a new model cannot be loaded.
        """
        with self._changed:
            self._check_labels(models)
            new = [m.name for m in models if m.name not in self._models]
            self._models = {model.name: model for model in models}
            for name in self._models:
                self._versions.setdefault(name, {})
            self._is_due = True
            self._changed.notify_all()
        if wait:
            self._wait_for(new)

    def _check_labels(self, models):
        for model in models:
            old = self._models.get(model.name)
            for label, version in model.labels.items():
                status = self._versions.get(model.name, {}).get(version)
                if status and status.state == AVAILABLE:
                    continue
                is_new = old is None or label not in old.labels
                if self._settings.allow_labels and is_new:
                    continue
                if old and old.labels.get(label) == version:
                    continue  # As it was.
                raise StatusError(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to version {version} of model "
                    f"{model.name}, which is not currently available for "
                    "inference",
                )

    def _wait_for(self, names, is_waiting_for_files=False):
        def failed():
            return [
                (name, version, status)
                for name in names
                if name in self._models
                for version, status in self._versions.get(name, {}).items()
                if status.is_wanted and status.state == END and status.error
            ]

        def is_loaded(name):
            if name not in self._models:
                return True  # Another reload has dropped it.
            states = [
                (s.state, s.is_wanted)
                for s in self._versions.get(name, {}).values()
            ]
            is_known = not (self._is_due or self._is_looking)
            if is_known and not states and not is_waiting_for_files:
                return True  # There is nothing to wait for.
            return any(s == AVAILABLE for s, _ in states) and not any(
                s in (START, LOADING) and wanted for s, wanted in states
            )

        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._is_closing
                    or failed()
                    or all(is_loaded(name) for name in names)
                )
            )
            errors = failed()
        if errors:
            texts = "".join(
                f"{{{{name: {name} version: {version}}} due to error: "
                f"{status.error}}}, "
                for name, version, status in errors
            )
            raise StatusError(
                "UNKNOWN",
                f"{len(errors)} servable(s) did not become available: "
                f"{{{texts}}}",
            )

    def acquire(self, name, version=None, label=None):
        """Returns the loaded version for a request; `release` it afterwards.

        Args:
            name: of the model.
            version: int, or None for the highest that is loaded.
            label: of a version instead, or None.

        Returns:
            `Servable`.

        Raises:
            StatusError: if there is none.
        """
        with self._changed:
            model = self._models.get(name)
            if label is not None:
                if model is None or label not in model.labels:
                    raise StatusError(
                        "INVALID_ARGUMENT",
                        f"Unrecognized servable version label: {label}",
                    )
                version = model.labels[label]
            loaded = {
                v: status.servable
                for v, status in self._versions.get(name, {}).items()
                if status.state == AVAILABLE
            }
            if version is None and loaded:
                version = max(loaded)
            if version not in loaded:
                request = (
                    f"Latest({name})"
                    if version is None
                    else f"Specific({name}, {version})"
                )
                raise StatusError(
                    "NOT_FOUND", f"Servable not found for request: {request}"
                )
            loaded[version].acquire()
            return loaded[version]

    def status(self, name, version=None):
        """Returns the state of a model's versions.

        Args:
            name: of the model.
            version: int, for that one alone.

        Returns:
            List of `(version, state, error)`, the highest version first; the
            error is a `StatusError` or None.

        Raises:
            StatusError: if there is none.
        """
        with self._changed:
            versions = dict(self._versions.get(name, {}))
            if version is not None:
                if version not in versions:
                    raise StatusError(
                        "NOT_FOUND",
                        f"Could not find version {version} of model {name}",
                    )
                versions = {version: versions[version]}
            if not versions:
                raise StatusError(
                    "NOT_FOUND", f"Could not find any versions of model {name}"
                )
            return [
                (v, status.state, status.error)
                for v, status in sorted(versions.items(), reverse=True)
            ]

    def names(self):
        """Returns the names of the configured models."""
        with self._changed:
            return list(self._models)

    def close(self, seconds=None):
        """Unloads everything; waits for requests in flight at most so long."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        end = None if seconds is None else time.monotonic() + seconds
        self._close_all(end)
        # It may have waited for one of these, or loaded another.
        self._thread.join()
        self._close_all(end)

    def _close_all(self, end):
        with self._changed:
            servables = [
                status.servable
                for versions in self._versions.values()
                for status in versions.values()
                if status.servable
            ]
        for servable in servables:
            servable.close(
                None if end is None else max(0, end - time.monotonic())
            )

    def _manage(self):
        last_look = -math.inf
        while True:
            with self._changed:
                if self._is_closing:
                    return
                poll = self._settings.poll_seconds
                is_over = poll > 0 and time.monotonic() - last_look >= poll
                is_looking = self._is_due or is_over
            try:
                if is_looking:
                    last_look = time.monotonic()
                    self._look()
                while self._load_next() and not self._is_closing:
                    pass
                self._unload()
            except Exception:  # A thread that ends would load nothing more.
                logging.exception("The models' folders cannot be managed.")
            with self._changed:
                self._changed.notify_all()
                if not (self._is_due or self._is_closing):
                    self._changed.wait(min(_TICK, poll) if poll else _TICK)

    def _look(self):
        """Notes which versions are wanted now."""
        with self._changed:
            self._is_due, self._is_looking = False, True
            models = dict(self._models)
        try:
            wanted = {name: model.wanted() for name, model in models.items()}
            with self._changed:
                self._note(models, wanted)
        finally:
            with self._changed:
                self._is_looking = False

    def _note(self, models, wanted):
        for name, versions in self._versions.items():
            if name not in self._models:
                _want(versions, {})  # Taken out of the configuration.
            elif name not in models:
                continue  # Added meanwhile: a look is due.
            elif wanted[name]:
                _want(versions, wanted[name])
            else:
                self._want_what_is_loaded(models[name], versions)

    def _want_what_is_loaded(self, model, versions):
        """Where no folder is left, what is loaded stays."""
        now = time.monotonic()
        if now - self._last_told.get(model.name, -math.inf) >= _SAY_AGAIN:
            self._last_told[model.name] = now
            wanted = "a folder <number>/ with saved_model.pb"
            if model.specific:
                wanted = f"the versions {', '.join(map(str, model.specific))}"
            logging.warning(
                "Model %s: %s must have %s. Received: %s. %s",
                model.name,
                model.base_path,
                wanted,
                model.what_is_there(),
                _GOES_ON
                if _is_served(versions)
                else "It is looked for again and again; a server that starts "
                "opens its ports when each model has a version.",
            )
        for status in versions.values():
            if status.state in (START, LOADING):
                status.is_wanted = False

    def _load_next(self):
        """Loads one version that is due; returns whether there was one."""
        with self._changed:
            due = [
                (name, version, status)
                for name, versions in self._versions.items()
                for version, status in sorted(versions.items(), reverse=True)
                if status.is_wanted
                and status.state in (START, LOADING)
                and status.servable is None
                and status.next_attempt <= time.monotonic()
            ]
            if not due:
                return False
            name, version, status = due[0]
            status.state = LOADING
        folder = status.folder
        servable, error = self._load(name, version, folder)
        with self._changed:
            status.num_attempts += 1
            if error is None:
                status.servable, status.state = servable, AVAILABLE
                status.error = None
                logging.info("Loaded version %s of model %s.", version, name)
            elif status.num_attempts > self._settings.max_retries:
                status.state, status.error = END, error
            else:
                status.next_attempt = (
                    time.monotonic() + self._settings.retry_seconds
                )
            is_served = _is_served(self._versions.get(name, {}))
            self._changed.notify_all()
        if error is not None:
            again = self._settings.max_retries + 1 - status.num_attempts
            logging.error(
                "Version %s of model %s cannot be loaded from %s: %s. %s",
                version,
                name,
                folder,
                error,
                f"{again} more attempts, {self._settings.retry_seconds:g} s "
                "apart."
                if again
                else _GOES_ON
                if is_served
                else "The model has no other version that is loaded.",
            )
        return True

    def _load(self, name, version, folder):
        """Returns a warmed servable and None, or None and what went wrong."""
        error, servable = None, None
        start = time.monotonic()
        try:
            servable = Servable(
                name,
                version,
                folder,
                self._settings.tags,
                self._settings.session_config,
            )
            self._warm_up(servable)
        except StatusError as caught:
            error = caught
        except MemoryError:
            error = StatusError("RESOURCE_EXHAUSTED", "Out of memory.")
        except Exception as caught:  # Whatever a broken file makes TF raise.
            error = StatusError("UNKNOWN", f"{type(caught).__name__}: {caught}")
        self._metrics.count(
            metrics_lib.LOAD_ATTEMPTS,
            model_path=folder,
            status="fail" if error else "success",
        )
        if error:
            if servable:
                servable.close()
            return None, error
        logging.info("%s took %.1f s.", folder, time.monotonic() - start)
        return servable, None

    def _warm_up(self, servable):
        if not self._settings.warmup_iterations:
            return
        start = time.monotonic()
        code = "OK"
        try:
            num_records = servable.warm_up(self._settings.warmup_iterations)
            if not num_records:
                logging.warning(
                    "%s has no warm-up requests: what is wrong with it, "
                    "requests will tell, and the first ones are slow.",
                    servable.folder,
                )
            self._metrics.count(
                metrics_lib.WARMUP_RECORDS,
                num_records,
                model_path=servable.folder,
                status="OK",
            )
        except StatusError as error:
            code = error.code
            raise
        finally:
            self._metrics.observe(
                metrics_lib.WARMUP_LATENCY,
                1e6 * (time.monotonic() - start),
                model_path=servable.folder,
                status=code,
            )

    def _unload(self):
        """Unloads what is not wanted, once something wanted is loaded."""
        with self._changed:
            leaving = []
            for name, versions in self._versions.items():
                is_served = any(
                    s.is_wanted and s.state == AVAILABLE
                    for s in versions.values()
                )
                for version, status in versions.items():
                    if status.is_wanted:
                        continue
                    if status.state in (START, LOADING):
                        status.state = END  # Not wanted any more.
                    elif status.state == AVAILABLE and (
                        is_served or name not in self._models
                    ):
                        status.state = UNLOADING
                        leaving.append((name, version, status))
        for name, version, status in leaving:
            # Requests in flight finish; new ones do not find it any more.
            status.servable.close()
            with self._changed:
                status.state, status.servable = END, None
                self._changed.notify_all()
            logging.info("Unloaded version %s of model %s.", version, name)


def _is_served(versions):
    return any(status.state == AVAILABLE for status in versions.values())


def _want(versions, found):
    """Notes that the versions found are wanted, and no others.

    Args:
        versions: dict of version -> `VersionStatus`, changed.
        found: dict of version -> folder.
    """
    for version, status in versions.items():
        if version not in found:
            status.is_wanted = False
        elif not status.is_wanted and status.state == END:
            versions[version] = VersionStatus(found[version])
        else:
            status.is_wanted, status.folder = True, found[version]
    for version in found.keys() - versions.keys():
        versions[version] = VersionStatus(found[version])
