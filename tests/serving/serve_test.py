"""`python -m oasis_tf.serve`: flags, files, signals, TF Serving's binary."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from grpc_health.v1 import health_pb2
from grpc_health.v1 import health_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from oasis_tf import model_files
from tests import trained
from tests.serving import running
from tests.serving import toy_models

PRODUCTION = trained.ROOT / "serving"
X = np.array([4], np.float32)
HALF = {"instances": [4]}  # 4 / 2 + 2


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return trained.make_workdir(tmp_path_factory.mktemp("serve") / "run")


def toy(name):
    return [
        f"--model_name={name}",
        f"--model_base_path={toy_models.base() / name}",
    ]


def fails(folder, *arguments):
    """Returns the exit code and the only line that a failing start prints."""
    done = trained.run("serve", "--engine=local", *arguments, cwd=folder)
    lines = [
        line
        for line in done.stderr.splitlines()
        if line.startswith("oasis_tf.serve: ")
    ]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.returncode, lines[0].removeprefix("oasis_tf.serve: ")


class TestFlags:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--grpc_max_threads=4"], "`--grpc_max_threads` is for tens"),
            (["--mixed_precision=bfloat16"], "`--mixed_precision` is for tens"),
            (["--rest_api_prot=8501"], "Unknown command line flag 'rest_api_p"),
            (["somewhere"], "Unknown arguments: somewhere"),
            ([], "`--workdir`, `--model_base_path` or `--model_config_file`"),
            (["--model_base_path=run/export"], "must be an absolute path"),
            (["--workdir=missing"], "Received: 'missing', which does not"),
            (["--workdir=."], "must be the work directory of a finished run"),
            (["--rest_api_timeout_in_ms=0"], "rest_api_timeout_in_ms=0"),
            (["--port=8501", "--rest_api_port=8501"], "8501 for both"),
            (
                ["--workdir=run", "--port=8501"],
                "`--port` and `--rest_api_port` must differ",
            ),
            (["--grpc_channel_arguments=x"], "must be key=value,key=value"),
            (
                ["--batching_parameters_file=b.config"],
                "needs `--enable_batching`. Received: 'b.config' alone",
            ),
            (["--engine=tf"], "--engine=tf"),
            (["--port=70000"], "--port=70000"),
            (["--rest_api_port=-1"], "--rest_api_port=-1"),
            (["--file_system_poll_wait_seconds=-1"], "wait_seconds=-1"),
            (
                ["--workdir=run", "--model_base_path=/models/m"],
                "`--workdir` and `--model_base_path` exclude each other",
            ),
        ],
    )
    def test_mistakes_are_one_line(self, workdir, arguments, message):
        needed = []
        if not any("workdir" in a or "base_path" in a for a in arguments):
            needed = toy("half_plus_two") if arguments else []
        code, line = fails(workdir.parent, *needed, *arguments)
        assert message in line
        assert code == 2

    @pytest.mark.parametrize(
        ("flag", "more", "kind"),
        [
            ("model_config_file", [], "ModelServerConfig"),
            (
                "batching_parameters_file",
                ["--enable_batching"],
                "BatchingParameters",
            ),
            ("monitoring_config_file", [], "MonitoringConfig"),
            ("ssl_config_file", [], "SSLConfig"),
        ],
    )
    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (b"no_such_field: 3", 'no field named "no_such_field"'),
            (b"{{", "1:1"),
            (b"\xff", "invalid start byte"),
            (None, "No such file or directory"),
        ],
    )
    def test_files_that_do_not_parse_are_named(
        self, tmp_path, flag, more, kind, text, reason
    ):
        path = tmp_path / "some.config"
        if text:
            path.write_bytes(text)
        code, line = fails(
            tmp_path, *toy("half_plus_two"), *more, f"--{flag}={path}"
        )
        assert code == 2
        assert line.startswith(f"Invalid protobuf file: '{path}'. ")
        assert f"must be a {kind} in text format. Received: " in line
        assert reason in line

    def test_start_that_tf_serving_refuses_has_its_exit_code(self, tmp_path):
        path = tmp_path / "models.config"
        path.write_text('model_config_list { config { name: "m" } }')
        assert fails(tmp_path, f"--model_config_file={path}") == (
            255,
            "Failed to start server. Error: INVALID_ARGUMENT: Expected model "
            "m to have an absolute path or URI; got base_path()=",
        )

    def test_label_of_a_version_not_loaded_yet_is_refused(self, tmp_path):
        path = write_config(tmp_path)
        assert fails(tmp_path, f"--model_config_file={path}") == (
            255,
            "Failed to start server. Error: FAILED_PRECONDITION: Request to "
            "assign label to version 20000 of model generator, which is not "
            "currently available for inference. A label may come first with "
            "--allow_version_labels_for_unavailable_models",
        )

    def test_version_is_told(self, tmp_path):
        done = trained.run("serve", "--version", cwd=tmp_path)
        assert done.returncode == 0
        assert re.search(r"TensorFlow 2\.\d+\.\d+$", done.stdout.strip())

    def test_port_in_use_is_told(self, tmp_path):
        with socket.socket() as taken:
            taken.bind((running.HOST, 0))
            taken.listen()
            port = taken.getsockname()[1]
            for flag, kind in (("port", "gRPC"), ("rest_api_port", "REST")):
                ports = {"port": 0, "rest_api_port": 0} | {flag: port}
                code, line = fails(
                    tmp_path,
                    *toy("half_plus_two"),
                    *(f"--{name}={value}" for name, value in ports.items()),
                )
                assert code == 255
                assert line.endswith(
                    f"UNAVAILABLE: {kind} cannot listen on "
                    f"127.0.0.1:{port}: Address already in use"
                )

    def test_broken_model_is_told_in_tf_serving_s_words(self, tmp_path):
        version = tmp_path / "m/7"
        shutil.copytree(toy_models.base() / "oasis/1", version)
        data = version / "variables/variables.data-00000-of-00001"
        os.truncate(data, data.stat().st_size // 2)
        code, line = fails(
            tmp_path,
            "--model_name=m",
            f"--model_base_path={tmp_path / 'm'}",
            "--max_num_load_retries=0",
        )
        assert code == 255
        assert line.startswith(
            "Failed to start server. Error: UNKNOWN: 1 servable(s) did not "
            "become available: {{{name: m version: 7} due to error: "
        )


def write_config(folder):
    """Writes `serving/`'s models file with another folder; returns its path."""
    text = (PRODUCTION / "models.canary.config").read_text()
    path = folder / "models.config"
    path.write_text(text.replace("/models/", f"{folder}/models/"))
    return path


class TestProcess:
    """As users start it: `python -m oasis_tf.serve`."""

    def test_serves_a_run(self, workdir):
        arguments = "--workdir=run", "--model_name=ignored"
        with running.process(workdir.parent, *arguments) as server:
            assert server.printed == [
                "Starting; loading and warming up the models...",
                f"gRPC: 127.0.0.1:{server.port}",
                f"REST: http://127.0.0.1:{server.rest_port}",
                "Serving. Ctrl-C ends it.",
            ]
            answer = running.ask(server, "GET", "/v1/models/generator")
            [status] = answer.json["model_version_status"]
            assert (status["version"], status["state"]) == ("6", "AVAILABLE")
            assert server.end() == 0
            assert "Traceback" not in server.log.read_text()

    @pytest.mark.slow
    def test_takes_the_files_of_production(self, workdir, tmp_path):
        for version in (10000, 20000):
            shutil.copytree(
                workdir / "export/generator/6",
                tmp_path / f"models/generator/{version}",
            )
        shutil.copytree(
            toy_models.base() / "half_plus_two/123",
            tmp_path / "models/segmenter/1",
        )
        arguments = [
            f"--model_config_file={write_config(tmp_path)}",
            "--model_config_file_poll_wait_seconds=1",
            "--allow_version_labels_for_unavailable_models",
            "--enable_batching=true",
            f"--batching_parameters_file={PRODUCTION / 'batching.config'}",
            f"--monitoring_config_file={PRODUCTION / 'monitoring.config'}",
            "--enable_grpc_healthcheck_service",
            "--grpc_channel_arguments=grpc.max_concurrent_streams=100",
            "--tensorflow_intra_op_parallelism=1",
            "--tensorflow_inter_op_parallelism=1",
            "--rest_api_enable_cors_support",
        ]
        with running.process(tmp_path, *arguments) as server:
            path = "/v1/models/generator/labels/canary/metadata"
            spec = running.ask(server, "GET", path).json["model_spec"]
            assert spec["version"] == "20000"

            answer = running.predict(server, HALF, "segmenter")
            assert answer.json == {"predictions": [4.0]}
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            # Batches of at most 8, as the file says.
            answer = running.predict(server, {"instances": [1] * 9})
            assert answer.status == 404
            answer = running.predict(
                server, {"instances": [1] * 9}, "segmenter"
            )
            assert answer.status == 400
            assert "maximum input batch size 8" in answer.error

            metrics = running.ask(
                server, "GET", "/monitoring/prometheus/metrics"
            ).body.decode()
            line = 'request_count{model_name="segmenter",status="OK"} 1\n'
            assert line in metrics

            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                request = health_pb2.HealthCheckRequest(service="ModelService")
                health = stub.Check(request, timeout=running.PATIENCE)
                assert health.status == health.SERVING

            # A mistake in the file changes nothing, a correction does.
            path = tmp_path / "models.config"
            right = path.read_text()
            path.write_text("model_config_list {")
            running.wait_until(
                lambda: "the models stay as they were" in server.log.read_text()
            )
            path.write_text(
                right.replace('"canary" value: 20000', '"canary" value: 10000')
            )
            path_ = "/v1/models/generator/labels/canary/metadata"
            running.wait_until(
                lambda: (
                    running.ask(server, "GET", path_).json["model_spec"][
                        "version"
                    ]
                    == "10000"
                )
            )

    def test_finishes_calls_on_sigterm(self, tmp_path):
        with running.process(tmp_path, *toy("oasis")) as server:
            answers = []

            def ask(number):
                body = {
                    "signature_name": "slow",
                    "instances": [{"x": number, "num_steps": 400_000}],
                }
                answers.append(running.predict(server, body, "oasis"))

            def ask_grpc():
                with running.stubs(server) as stubs:
                    request = running.predict_request(
                        "oasis",
                        {"x": X, "num_steps": np.array([400_000])},
                        signature_name="slow",
                    )
                    answers.append(stubs.predict(request, timeout=60))

            threads = [threading.Thread(target=ask, args=[i]) for i in range(2)]
            threads.append(threading.Thread(target=ask_grpc))
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            assert not answers  # They are slow enough.
            assert server.end() == 0
            for thread in threads:
                thread.join()
            assert len(answers) == 3
            for answer in answers:
                if isinstance(answer, running.Answer):
                    assert answer.status == 200
                    assert len(answer.json["predictions"]) == 1
                else:
                    assert answer.outputs["y"].dtype
            with pytest.raises(ConnectionRefusedError):
                running.predict(server, HALF)
            last = server.popen.stdout.read()
            assert last == "Ending: calls in flight are answered.\n"

    def test_waits_for_calls_only_so_long(self, tmp_path):
        """Once for both APIs, which refuse new calls meanwhile."""
        body = {
            "signature_name": "slow",
            "instances": [{"x": 1, "num_steps": 10**12}],
        }
        request = running.predict_request(
            "oasis",
            {"x": X, "num_steps": np.array([10**12])},
            signature_name="slow",
        )
        arguments = [*toy("oasis"), "--drain_seconds=6"]
        with (
            running.process(tmp_path, *arguments) as server,
            running.stubs(server) as stubs,
            running.connect(server) as connection,
        ):
            connection.request(
                "POST", "/v1/models/oasis:predict", json.dumps(body)
            )
            call = stubs.predict.future(request)
            time.sleep(0.5)
            start = time.monotonic()
            server.popen.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(ConnectionRefusedError):
                running.predict(server, HALF)
            code, _ = running.refusal(stubs.predict, request)
            assert code in ("UNAVAILABLE", "CANCELLED")
            assert not call.done()
            assert server.popen.wait(running.PATIENCE) == 0
            # Not the two times that two APIs might take.
            assert 5.5 < time.monotonic() - start < 11.9
            assert call.code().name in ("UNAVAILABLE", "CANCELLED")
            with pytest.raises(OSError):
                running.receive(connection)
            assert "Traceback" not in server.log.read_text()

    @pytest.mark.slow
    def test_serves_again_after_kill_9(self, workdir):
        label_map = np.zeros([1, 16, 16], np.int32)
        inputs = {"label_map": label_map, "seed": np.array([3])}
        pictures = []
        for number in (signal.SIGKILL, signal.SIGTERM):
            with running.process(workdir.parent, "--workdir=run") as server:
                with running.stubs(server) as stubs:
                    request = running.predict_request("generator", inputs)
                    answer = stubs.predict(request, timeout=running.PATIENCE)
                pictures.append(answer.outputs["image"].SerializeToString())
                server.end(number)
        assert pictures[0] == pictures[1]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_ends_while_it_waits_for_a_model(self, tmp_path, number):
        arguments = [f"--model_base_path={tmp_path}/later"]
        with running.process(tmp_path, *arguments, is_awaited=False) as server:
            running.wait_until(
                lambda: "must have a folder" in server.log.read_text()
            )
            with pytest.raises(ConnectionRefusedError):
                running.predict(server, HALF)
            assert server.end(number) == 0


class TestBinary:
    """`tensorflow_model_server` is started where it is on the PATH."""

    def start(self, folder, *arguments, is_there=True):
        """Returns the arguments that a stand-in gets, and the process."""
        path = folder / "bin/tensorflow_model_server"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            '#!/bin/sh\nprintf "got %s\\n" "$@"\n'
            "file=${1#--model_config_file=}\n"
            '[ "$file" = "$1" ] || cat "$file"\nexit 7\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        environment = trained.environment()
        if is_there:
            environment["PATH"] = os.pathsep.join(
                [str(path.parent), environment["PATH"]]
            )
        done = subprocess.run(
            [sys.executable, "-m", "oasis_tf.serve", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        got = [line[4:] for line in lines if line.startswith("got ")]
        return got, done

    def test_gets_the_flags(self, tmp_path):
        # Those that the local server does not support, too.
        flags = [
            "--port=1234",
            "--enable_batching=true",
            "--grpc_max_threads=4",
            "--model_name=m",
            "--model_base_path=/models/m",
        ]
        got, done = self.start(tmp_path, *flags)
        assert sorted(got) == sorted(flags)
        assert done.returncode == 7
        assert done.stdout.startswith("Starting ")
        # Which the local server does not.
        assert "listens on all addresses" in done.stderr

    def test_does_without_the_local_server_s_flags(self, tmp_path):
        got, done = self.start(
            tmp_path, "--model_base_path=/models/m", "--host=0.0.0.0"
        )
        assert got == ["--model_base_path=/models/m"]
        assert "--host is for the local server" in done.stderr

    def test_serves_a_run(self, workdir):
        got, done = self.start(workdir.parent, "--workdir=run")
        assert got[0].startswith("--model_config_file=")
        assert got[1:] == ["--rest_api_port=8501"]
        text = done.stdout.split("--rest_api_port=8501\n")[-1]
        message = text_format.Parse(
            text, model_server_config_pb2.ModelServerConfig()
        )
        [model] = message.model_config_list.config
        assert model.name == model_files.GENERATOR
        assert model.base_path == str(workdir.resolve() / "export/generator")
        assert model.model_platform == "tensorflow"

    def test_is_left_alone_where_the_local_one_is_asked_for(self, tmp_path):
        got, done = self.start(
            tmp_path, "--engine=local", "--grpc_max_threads=4"
        )
        assert not got
        assert done.returncode == 2
        assert "and `--engine=local`." in done.stderr

    def test_must_be_there_where_it_is_asked_for(self, tmp_path):
        got, done = self.start(
            tmp_path, "--engine=tensorflow_model_server", is_there=False
        )
        assert not got
        assert done.returncode == 2
        assert "needs it on the PATH" in done.stderr
