"""Which versions are loaded when, with folders but without their networks."""

import collections
import contextlib
import re
import threading
import time

import numpy as np
import pytest

from oasis_tf.serving import versions
from oasis_tf.serving.metrics import Metrics
from oasis_tf.serving.model_config import Model
from oasis_tf.serving.status import StatusError
from oasis_tf.serving.versions import ModelManager
from oasis_tf.serving.versions import Settings
from tests.serving import running
from tests.serving import toy_models

PATIENCE = running.PATIENCE
X = np.array([4.0], np.float32)


class Servables:
    """Stands in for the loading of SavedModels.

    Attributes:
        events: list of (what, name, version): "load", "warm up", "close".
        errors: {folder's name: list of errors that its next loads raise}.
        warm_up_errors: the same of warm-ups.
        gate: `threading.Event`, for which each load waits.
    """

    def __init__(self):
        self.events = []
        self.errors = collections.defaultdict(list)
        self.warm_up_errors = collections.defaultdict(list)
        self.gate = threading.Event()
        self.gate.set()

    def load(self, name, version, folder, tags, session_config):
        assert tags == {"serve"} and session_config is None
        return _Servable(self, name, version, folder)

    def of(self, what):
        """Returns [(name, version)] of one kind of event."""
        return [tuple(rest) for kind, *rest in self.events if kind == what]


class _Servable:
    def __init__(self, servables, name, version, folder):
        self._servables = servables
        self.name, self.version, self.folder = name, version, folder
        self._event("load", servables.errors)
        assert servables.gate.wait(PATIENCE)
        self.num_users = 0

    def _event(self, what, errors):
        self._servables.events.append((what, self.name, self.version))
        if errors[self.folder.name]:
            raise errors[self.folder.name].pop(0)

    def warm_up(self, iterations):
        self._event("warm up", self._servables.warm_up_errors)
        return 3 * iterations

    def acquire(self):
        self.num_users += 1

    def close(self, seconds=None):
        self._event("close", collections.defaultdict(list))


@pytest.fixture
def servables(monkeypatch):
    fake = Servables()
    monkeypatch.setattr(versions, "Servable", fake.load)
    monkeypatch.setattr(versions, "_TICK", 0.01)
    return fake


class Folder:
    """The base path of model `m`."""

    def __init__(self, path):
        self.path = path
        path.mkdir()

    def add(self, *names):
        for name in names:
            (self.path / str(name)).mkdir()

    def remove(self, name):
        (self.path / str(name)).rmdir()

    def model(self, **options):
        return Model("m", str(self.path), **options)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "m")


@contextlib.contextmanager
def managing(*models, is_waiting=True, metrics=None, **settings):
    """Context with a started `ModelManager`, its models loaded."""
    settings = {"poll_seconds": 0.01, "max_retries": 0} | settings
    manager = ModelManager(Settings(**settings), metrics or Metrics())
    manager.start(list(models))
    try:
        if is_waiting:
            manager.wait_until_loaded()
        yield manager
    finally:
        manager.close(PATIENCE)


def states(manager, name="m"):
    """Returns {version: state}."""
    return {v: state for v, state, _ in manager.status(name)}


def wait_for(manager, expected, name="m"):
    def is_so():
        try:
            return states(manager, name) == expected
        except StatusError:
            return False

    running.wait_until(is_so)


def raises(code, message):
    return pytest.raises(StatusError, match=f"^{code}: {message}$")


class TestPolicy:
    @pytest.mark.parametrize(
        ("policy", "served"),
        [
            ({}, [123]),
            ({"num_latest": 2}, [123, 20]),
            ({"num_latest": 0}, [123, 20, 3]),
            ({"num_latest": 9}, [123, 20, 3]),
            ({"specific": (3, 20, 4)}, [20, 3]),
        ],
    )
    def test_chooses_among_numbered_folders(
        self, servables, folder, policy, served
    ):
        folder.add(3, 20, "00000123", "124.tmp", "v125", "-126", "12７", "١")
        folder.add(2**63)  # No request could name it.
        (folder.path / "128").write_text("No folder.")
        with managing(folder.model(**policy)) as manager:
            assert list(states(manager)) == served
            assert servables.of("load") == [("m", v) for v in served]
            # The highest answers.
            assert manager.acquire("m").version == served[0]
            last = manager.acquire("m", version=served[-1])
            assert last.version == served[-1]

    def test_finds_versions_that_come_later(self, servables, folder):
        folder.add(1)
        with managing(folder.model(num_latest=0)) as manager:
            folder.add(2)
            wait_for(manager, {1: "AVAILABLE", 2: "AVAILABLE"})
            assert manager.acquire("m").version == 2

    def test_looks_once_where_it_does_not_poll(self, servables, folder):
        folder.add(1)
        with managing(folder.model(), poll_seconds=0) as manager:
            folder.add(2)
            time.sleep(0.1)
            assert states(manager) == {1: "AVAILABLE"}
            # A reload looks again.
            manager.reload([folder.model()])
            wait_for(manager, {1: "END", 2: "AVAILABLE"})


class TestNewVersion:
    def test_is_loaded_and_warmed_before_the_old_one_goes(
        self, servables, folder
    ):
        folder.add(1)
        with managing(folder.model()) as manager:
            folder.add(2)
            wait_for(manager, {1: "END", 2: "AVAILABLE"})
            assert servables.events == [
                ("load", "m", 1),
                ("warm up", "m", 1),
                ("load", "m", 2),
                ("warm up", "m", 2),
                ("close", "m", 1),
            ]

    def test_leaves_requests_to_the_old_one_until_then(self, servables, folder):
        folder.add(1)
        with managing(folder.model()) as manager:
            servables.gate.clear()
            folder.add(2)
            wait_for(manager, {1: "AVAILABLE", 2: "LOADING"})
            assert manager.acquire("m").version == 1
            with raises("NOT_FOUND", r".*: Specific\(m, 2\)"):
                manager.acquire("m", version=2)
            servables.gate.set()
            wait_for(manager, {1: "END", 2: "AVAILABLE"})
            assert manager.acquire("m").version == 2

    def test_that_is_broken_is_told_and_the_old_one_stays(
        self, servables, folder
    ):
        folder.add(1)
        error = StatusError("DATA_LOSS", "Torn.")
        servables.errors["2"] = [error]
        with managing(folder.model()) as manager:
            folder.add(2)
            wait_for(manager, {1: "AVAILABLE", 2: "END"})
            assert manager.status("m", 2) == [(2, "END", error)]
            assert manager.acquire("m").version == 1
            # Not tried again,
            time.sleep(0.1)
            assert servables.of("load").count(("m", 2)) == 1
            # before it is wanted anew.
            folder.remove(2)
            running.wait_until(
                lambda: "2" not in [p.name for p in folder.path.iterdir()]
            )
            time.sleep(0.1)
            folder.add(2)
            wait_for(manager, {1: "END", 2: "AVAILABLE"})

    def test_fails_with_its_warm_up(self, servables, folder):
        folder.add(1)
        error = StatusError("INVALID_ARGUMENT", "No such input.")
        servables.warm_up_errors["2"] = [error]
        metrics = Metrics()
        with managing(folder.model(), metrics=metrics) as manager:
            folder.add(2)
            wait_for(manager, {1: "AVAILABLE", 2: "END"})
            assert manager.status("m", 2)[0][2] is error
            assert servables.of("close") == [("m", 2)]
        path = folder.path / "2"
        attempts = f'load_attempt_count{{model_path="{path}",status="fail"}} 1'
        assert attempts in metrics.text()
        latency = (
            f'warmup_latency_count{{model_path="{path}",'
            'status="INVALID_ARGUMENT"} 1'
        )
        assert latency in metrics.text()

    @pytest.mark.parametrize(
        ("raised", "code", "message"),
        [
            (MemoryError(), "RESOURCE_EXHAUSTED", "Out of memory."),
            (KeyError("x"), "UNKNOWN", "KeyError: 'x'"),
        ],
    )
    def test_may_fail_in_any_way(
        self, servables, folder, raised, code, message
    ):
        folder.add(1)
        servables.errors["2"] = [raised]
        with managing(folder.model()) as manager:
            folder.add(2)
            wait_for(manager, {1: "AVAILABLE", 2: "END"})
            [(_, _, error)] = manager.status("m", 2)
            assert (error.code, error.message) == (code, message)

    def test_is_tried_again(self, servables, folder):
        folder.add(1)
        errors = [StatusError("DATA_LOSS", f"Torn {i}.") for i in range(9)]
        servables.errors["1"] = errors[:2]
        retries = {"max_retries": 2, "retry_seconds": 0.01}
        with managing(folder.model(), **retries) as manager:
            assert states(manager) == {1: "AVAILABLE"}
            assert servables.of("load") == [("m", 1)] * 3
            servables.errors["2"] = errors[2:]
            folder.add(2)
            wait_for(manager, {1: "AVAILABLE", 2: "END"})
            # The last attempt's.
            assert manager.status("m", 2)[0][2] is errors[4]
            assert servables.of("load").count(("m", 2)) == 3

    def test_waits_between_attempts(self, servables, folder):
        folder.add(1)
        servables.errors["1"] = [StatusError("DATA_LOSS", "Torn.")]
        retries = {"max_retries": 1, "retry_seconds": 3600}
        with managing(folder.model(), is_waiting=False, **retries) as manager:
            wait_for(manager, {1: "LOADING"})
            running.wait_until(lambda: servables.of("load"))
            # Others are not held up meanwhile.
            folder.add(2)
            wait_for(manager, {1: "END", 2: "AVAILABLE"})
            assert servables.of("load") == [("m", 1), ("m", 2)]

    def test_is_not_warmed_where_that_is_off(self, servables, folder):
        folder.add(1)
        with managing(folder.model(), warmup_iterations=0):
            assert servables.events == [("load", "m", 1)]

    def test_counts_warm_up_records(self, servables, folder):
        folder.add(1)
        metrics = Metrics()
        with managing(folder.model(), metrics=metrics, warmup_iterations=2):
            path = folder.path / "1"
            line = (
                ":tensorflow:serving:model_warmup_records_read"
                f'{{model_path="{path}",status="OK"}} 6\n'
            )
            assert line in metrics.text()


class TestRemovedFolder:
    def test_makes_the_next_lower_version_wanted(self, servables, folder):
        folder.add(1, 2)
        with managing(folder.model()) as manager:
            assert states(manager) == {2: "AVAILABLE"}
            folder.remove(2)
            wait_for(manager, {1: "AVAILABLE", 2: "END"})
            # Not before the other was ready.
            assert servables.events[-1] == ("close", "m", 2)

    def test_stays_loaded_where_it_was_the_last(self, servables, folder):
        folder.add(1)
        with managing(folder.model()) as manager:
            folder.remove(1)
            time.sleep(0.1)
            assert states(manager) == {1: "AVAILABLE"}
            folder.path.rmdir()
            time.sleep(0.1)
            assert manager.acquire("m").version == 1

    def test_ends_what_waits_for_its_next_attempt(self, servables, folder):
        folder.add(1)
        servables.errors["1"] = [StatusError("DATA_LOSS", "Torn.")] * 99
        retries = {"max_retries": 99, "retry_seconds": 0.05}
        with managing(folder.model(), is_waiting=False, **retries) as manager:
            running.wait_until(lambda: servables.of("load"))
            folder.remove(1)
            wait_for(manager, {1: "END"})
            # The manager is well: what comes next is loaded.
            servables.errors.clear()
            folder.add(2)
            wait_for(manager, {1: "END", 2: "AVAILABLE"})


def test_a_mistake_of_ours_ends_no_thread(servables, folder, monkeypatch):
    folder.add(1)
    with managing(folder.model()) as manager:
        with monkeypatch.context() as patch:
            looks = []

            def wanted(model):
                looks.append(model)
                raise RuntimeError("A mistake.")

            patch.setattr(Model, "wanted", wanted)
            running.wait_until(lambda: len(looks) > 1)
            assert manager.acquire("m").version == 1
        folder.add(2)
        wait_for(manager, {1: "END", 2: "AVAILABLE"})


class TestStart:
    def test_waits_for_a_folder(self, servables, tmp_path):
        model = Model("m", str(tmp_path / "later"))
        with managing(model, is_waiting=False) as manager:
            waiting = threading.Thread(target=manager.wait_until_loaded)
            waiting.start()
            waiting.join(0.1)
            assert waiting.is_alive()
            with raises("NOT_FOUND", "Could not find any versions of model m"):
                manager.status("m")
            (tmp_path / "later/7").mkdir(parents=True)
            waiting.join(PATIENCE)
            assert not waiting.is_alive()
            assert states(manager) == {7: "AVAILABLE"}

    def test_is_refused_where_a_model_is_broken(self, servables, folder):
        folder.add(4)
        servables.errors["4"] = [StatusError("DATA_LOSS", "Torn.")]
        with managing(folder.model(), is_waiting=False) as manager:
            message = (
                r"1 servable\(s\) did not become available: \{\{\{name: m "
                r"version: 4\} due to error: DATA_LOSS: Torn\.\}, \}"
            )
            with raises("UNKNOWN", message):
                manager.wait_until_loaded()

    def test_ends_while_it_waits(self, servables, tmp_path):
        manager = ModelManager(Settings(), Metrics())
        manager.start([Model("m", str(tmp_path / "never"))])
        waiting = threading.Thread(target=manager.wait_until_loaded)
        waiting.start()
        manager.close()
        waiting.join(PATIENCE)
        assert not waiting.is_alive()


class TestMissingVersion:
    @pytest.mark.parametrize(
        ("made", "base", "told"),
        [
            ([], "none", "nothing"),
            (["file="], "file", "a file"),
            (["m/"], "m", "no folders"),
            (["m/variables/", "m/new/"], "m", "the folders new, variables"),
            (["m/3/saved_model.pb="], "m/3", "a version itself; .*, .*/m"),
            (["export/m/3/"], "export", "models; .* such as .*/export/m"),
        ],
    )
    def test_what_is_there_is_told(self, tmp_path, made, base, told):
        for name in made:
            path = tmp_path / name.rstrip("=")
            if name.endswith("="):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            else:
                path.mkdir(parents=True)
        model = Model("m", str(tmp_path / base))
        assert re.fullmatch(told, model.what_is_there())

    def test_of_each_model_is_told_once(
        self, servables, folder, tmp_path, monkeypatch
    ):
        told = []
        monkeypatch.setattr(
            versions.logging, "warning", lambda *a: told.append(a[0] % a[1:])
        )
        folder.add(1)
        missing = Model("n", str(tmp_path / "n"), specific=(4, 5))
        with managing(folder.model(), missing, is_waiting=False) as manager:
            wait_for(manager, {1: "AVAILABLE"})
            folder.remove(1)
            running.wait_until(lambda: len(told) >= 2)
            time.sleep(0.1)
        assert len(told) == 2
        assert "n must have the versions 4, 5. Received: nothing." in told[0]
        assert "opens its ports" in told[0]
        assert "m must have a folder <number>/" in told[1]
        assert "goes on serving" in told[1]

    def test_of_warm_up_requests_is_told(self, servables, folder, monkeypatch):
        told = []
        monkeypatch.setattr(
            versions.logging, "warning", lambda *a: told.append(a[0] % a[1:])
        )
        monkeypatch.setattr(_Servable, "warm_up", lambda *_: 0)
        folder.add(1)
        with managing(folder.model()):
            pass
        [line] = told
        assert line.startswith(f"{folder.path}/1 has no warm-up requests")

    def test_of_what_a_broken_version_leaves_is_told(
        self, servables, folder, monkeypatch
    ):
        told = []
        monkeypatch.setattr(
            versions.logging, "error", lambda *a: told.append(a[0] % a[1:])
        )
        for broken in "1", "3":
            error = StatusError("DATA_LOSS", "Torn.")
            servables.errors[broken] = [error]
        folder.add(1)
        with managing(
            folder.model(), is_waiting=False, max_retries=0
        ) as manager:
            running.wait_until(lambda: len(told) == 1)
            assert "no other version" in told[0]
            folder.add(2)
            wait_for(manager, {1: "END", 2: "AVAILABLE"})
            folder.add(3)
            running.wait_until(lambda: len(told) == 2)
        assert "goes on serving" in told[1]


class TestAcquire:
    @pytest.mark.parametrize(
        ("name", "spec", "code", "message"),
        [
            ("x", {}, "NOT_FOUND", r".*request: Latest\(x\)"),
            ("m", {"version": 2}, "NOT_FOUND", r".*Specific\(m, 2\)"),
            (
                "m",
                {"label": "canary"},
                "INVALID_ARGUMENT",
                "Unrecognized servable version label: canary",
            ),
        ],
    )
    def test_tells_what_there_is_not(
        self, servables, folder, name, spec, code, message
    ):
        folder.add(1)
        model = folder.model(labels={"stable": 1})
        with managing(model, allow_labels=True) as manager:
            assert manager.acquire("m", label="stable").version == 1
            with raises(code, message):
                manager.acquire(name, **spec)

    def test_status_of_an_unknown_version(self, servables, folder):
        folder.add(1)
        with managing(folder.model()) as manager:
            with raises("NOT_FOUND", "Could not find version 2 of model m"):
                manager.status("m", 2)


class TestReload:
    def test_replaces_the_list(self, servables, folder, tmp_path):
        folder.add(1)
        other = Folder(tmp_path / "other")
        other.add(5)
        with managing(folder.model()) as manager:
            manager.reload([Model("n", str(other.path))])
            assert manager.names() == ["n"]
            assert states(manager, "n") == {5: "AVAILABLE"}
            wait_for(manager, {1: "END"})
            with raises("NOT_FOUND", r".*Latest\(m\)"):
                manager.acquire("m")

    def test_tells_that_a_new_model_is_broken(
        self, servables, folder, tmp_path
    ):
        folder.add(1)
        other = Folder(tmp_path / "other")
        other.add(5)
        servables.errors["5"] = [StatusError("DATA_LOSS", "Torn.")]
        with managing(folder.model()) as manager:
            with raises("UNKNOWN", ".*name: n version: 5.*Torn.*"):
                manager.reload([folder.model(), Model("n", str(other.path))])
            assert manager.acquire("m").version == 1

    def test_during_a_look_is_seen_by_the_next_one(
        self, servables, folder, tmp_path, monkeypatch
    ):
        folder.add(1)
        other = Folder(tmp_path / "other")
        is_looking, may_go_on = threading.Event(), threading.Event()
        with managing(folder.model()) as manager:
            with monkeypatch.context() as patch:
                # A look that began before the reload, and ends after it.
                def wanted(model):
                    is_looking.set()
                    assert may_go_on.wait(PATIENCE)
                    return {}

                patch.setattr(Model, "wanted", wanted)
                assert is_looking.wait(PATIENCE)
            reload = threading.Thread(
                target=manager.reload,
                args=[[folder.model(), Model("n", str(other.path))]],
            )
            reload.start()
            running.wait_until(lambda: "n" in manager.names())
            other.add(5)
            may_go_on.set()
            reload.join(PATIENCE)
            assert not reload.is_alive()
            wait_for(manager, {5: "AVAILABLE"}, "n")

    def test_that_another_one_overtakes_waits_no_longer(
        self, servables, folder, tmp_path
    ):
        folder.add(1)
        other = Folder(tmp_path / "other")
        other.add(5)
        servables.errors["5"] = [StatusError("DATA_LOSS", "Torn.")] * 99
        retries = {"max_retries": 99, "retry_seconds": 3600}
        with managing(folder.model(), **retries) as manager:
            first = threading.Thread(
                target=manager.reload, args=[[Model("n", str(other.path))]]
            )
            first.start()
            running.wait_until(lambda: ("n", 5) in servables.of("load"))
            manager.reload([folder.model()])
            first.join(PATIENCE)
            assert not first.is_alive()

    def test_changes_the_policy(self, servables, folder):
        folder.add(1, 2)
        with managing(folder.model()) as manager:
            manager.reload([folder.model(specific=(1,))])
            wait_for(manager, {1: "AVAILABLE", 2: "END"})


class TestLabels:
    @staticmethod
    def refused(version):
        return raises(
            "FAILED_PRECONDITION",
            f"Request to assign label to version {version} of model m, which "
            "is not currently available for inference",
        )

    def test_need_a_loaded_version_at_the_start(self, folder):
        folder.add(1)
        manager = ModelManager(Settings(), Metrics())
        with self.refused(1):
            manager.start([folder.model(labels={"stable": 1})])

    @pytest.mark.parametrize("is_allowed", [False, True])
    def test_move_to_loaded_versions_only(self, servables, folder, is_allowed):
        folder.add(1, 2)
        model = folder.model(num_latest=0)
        with managing(model, allow_labels=is_allowed) as manager:

            def label(**labels):
                manager.reload([folder.model(num_latest=0, labels=labels)])

            label(stable=1)
            label(stable=2)
            assert manager.acquire("m", label="stable").version == 2
            with self.refused(3):
                label(stable=3)
            # A refusal leaves everything as it was.
            assert manager.acquire("m", label="stable").version == 2
            if is_allowed:
                label(stable=2, canary=3)  # A new one may point anywhere.
            else:
                with self.refused(3):
                    label(stable=2, canary=3)
            assert manager.acquire("m", label="stable").version == 2

    def test_stay_on_a_version_that_is_gone(self, servables, folder):
        folder.add(1)
        with managing(folder.model()) as manager:
            manager.reload([folder.model(labels={"stable": 1})])
            folder.add(2)
            wait_for(manager, {1: "END", 2: "AVAILABLE"})
            manager.reload([folder.model(labels={"stable": 1})])
            with raises("NOT_FOUND", r".*Specific\(m, 1\)"):
                manager.acquire("m", label="stable")


class TestUnloading:
    """With a session: it stays open for the calls in flight."""

    def test_waits_for_calls_in_flight(self, folder):
        toy_models.save_half_plus_two(folder.path / "1")
        with managing(folder.model()) as manager:
            old = manager.acquire("m")
            try:
                toy_models.save_half_plus_two(folder.path / "tmp")
                (folder.path / "tmp").rename(folder.path / "2")
                wait_for(manager, {1: "UNLOADING", 2: "AVAILABLE"})
                outputs = old.run("serving_default", {"x": X})
                assert outputs["y"].tolist() == [4]
            finally:
                old.release()
            wait_for(manager, {1: "END", 2: "AVAILABLE"})

    def test_waits_only_so_long_at_the_end(self, folder):
        toy_models.save_half_plus_two(folder.path / "1")
        manager = ModelManager(Settings(), Metrics())
        manager.start([folder.model()])
        manager.wait_until_loaded()
        used = manager.acquire("m")
        manager.close(0.01)  # Returns.
        with pytest.raises(RuntimeError, match="closed"):
            used.run("serving_default", {"x": X})
