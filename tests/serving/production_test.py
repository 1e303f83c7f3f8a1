"""What `serving/` gives TF Serving, Docker and Kubernetes to read.

The YAML is checked where PyYAML is installed, and against the published schemas
where kubernetes-validate and check-jsonschema are.
"""

import http.server
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import unittest

from absl.testing import absltest
from absl.testing import parameterized
from tensorflow_serving.config import model_server_config_pb2

from oasis_tf import model_files
from oasis_tf.serving import messages

try:
    import yaml
except ImportError:
    yaml = None

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = ROOT / "serving"
SCRIPT = FOLDER / "make_ssl_config.py"

KUBERNETES = "1.32"  # The oldest version to hold the manifests against.

TEXT_FILES = {
    "models.config": model_server_config_pb2.ModelServerConfig,
    "models.canary.config": model_server_config_pb2.ModelServerConfig,
    "batching.config": messages.BatchingParameters,
    "monitoring.config": messages.MonitoringConfig,
}

# Those of `tensorflow_model_server`.
FLAGS = """
    port grpc_socket_path rest_api_port rest_api_num_threads grpc_max_threads
    rest_api_timeout_in_ms rest_api_enable_cors_support model_name
    model_base_path model_config_file model_config_file_poll_wait_seconds
    file_system_poll_wait_seconds max_num_load_retries
    load_retry_interval_micros num_load_threads num_unload_threads
    allow_version_labels_for_unavailable_models enable_batching
    batching_parameters_file enable_per_model_batching_parameters
    enable_model_warmup num_request_iterations_for_warmup
    monitoring_config_file ssl_config_file enable_grpc_healthcheck_service
    grpc_channel_arguments tensorflow_intra_op_parallelism
    tensorflow_inter_op_parallelism tensorflow_session_parallelism
    saved_model_tags xla_cpu_compilation_enabled mixed_precision
    enable_serialization_as_tensor_content flush_filesystem_caches version
""".split()

# TF Serving's own.
GRPC, REST = 8500, 8501

needs_yaml = unittest.skipIf(yaml is None, "PyYAML is not installed.")


def needs(module):
    return unittest.skipIf(
        importlib.util.find_spec(module) is None, f"{module} is not installed."
    )


def files():
    """Returns the files of the folder that are not the user's own."""
    return [
        path
        for path in sorted(FOLDER.rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.name != "ssl.config"
        and path.suffix not in (".crt", ".key", ".pem")
    ]


def message(name):
    return messages.parse_file(FOLDER / name, TEXT_FILES[name])


def models(name):
    return message(name).model_config_list.config


def read_yaml(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def manifests():
    """Returns {(kind, name): manifest} of kubernetes/."""
    found = [
        manifest
        for path in sorted((FOLDER / "kubernetes").iterdir())
        for manifest in read_yaml(path)
    ]
    return {(m["kind"], m["metadata"]["name"]): m for m in found}


def compose():
    (document,) = read_yaml("docker-compose.yml")
    return document


def pod():
    return manifests()["Deployment", "oasis"]["spec"]["template"]


def container():
    (found,) = pod()["spec"]["containers"]
    return found


def flags_of(arguments):
    """Returns {name: value} of `--name=value` arguments."""
    return dict(a.removeprefix("--").split("=", 1) for a in arguments)


def uncommented(name):
    """Returns a file's documents with its commented-out settings."""
    text = (FOLDER / name).read_text()
    pattern = re.compile(r"^( +)# (- --|- name:|  )", re.MULTILINE)
    assert pattern.search(text)
    return list(yaml.safe_load_all(pattern.sub(r"\1\2", text)))


def servers():
    """Returns {file: flags} of the servers that are started."""
    return {
        "docker-compose.yml": flags_of(
            compose()["services"]["oasis"]["command"]
        ),
        "deployment.yaml": flags_of(container()["args"]),
    }


class TextFilesTest(parameterized.TestCase):
    def test_each_file_is_known(self):
        names = {path.name for path in files() if path.suffix == ".config"}
        self.assertEqual(names, set(TEXT_FILES))

    @parameterized.parameters(*TEXT_FILES)
    def test_parses_as_its_message(self, name):
        self.assertNotEqual(message(name).ByteSize(), 0)

    @parameterized.parameters("models.config", "models.canary.config")
    def test_models_are_those_of_the_exports(self, name):
        for model in models(name):
            with self.subTest(model.name):
                self.assertEqual(model.model_platform, "tensorflow")
                self.assertEqual(model.base_path, f"/models/{model.name}")
        self.assertCountEqual(
            [model.name for model in models(name)],
            [model_files.GENERATOR, model_files.SEGMENTER],
        )

    @parameterized.parameters("models.config", "models.canary.config")
    def test_labels_are_on_versions_of_the_policy(self, name):
        for model in models(name):
            # "latest" may lose a version that a label is on.
            specific = model.model_version_policy.specific.versions
            self.assertLessEqual(
                set(model.version_labels.values()), set(specific)
            )

    def test_the_canary_is_the_newer_of_two(self):
        labels = models("models.canary.config")[0].version_labels
        self.assertCountEqual(labels, ["stable", "canary"])
        self.assertLess(labels["stable"], labels["canary"])

    def test_last_allowed_batch_size_is_the_greatest(self):
        batching = message("batching.config")
        sizes = list(batching.allowed_batch_sizes)
        self.assertEqual(sizes, sorted(set(sizes)))
        self.assertEqual(sizes[-1], batching.max_batch_size.value)
        self.assertFalse(batching.pad_variable_length_inputs)

    def test_the_arithmetic_of_the_comments_holds(self):
        batching = message("batching.config")
        largest = batching.max_batch_size.value
        queued = batching.max_enqueued_batches.value
        threads = batching.num_batch_threads.value
        comment = f"30 / ({queued} + 1) = {30 / (queued + 1):.2f} s"
        self.assertIn(comment, (FOLDER / "batching.config").read_text())
        readme = (FOLDER / "README.md").read_text()
        self.assertIn(f"{largest * (queued + threads)} here", readme)

    def test_metrics_are_where_they_are_looked_for(self):
        prometheus = message("monitoring.config").prometheus_config
        self.assertTrue(prometheus.enable)
        for name in (
            "README.md",
            "prometheus.yml",
            "kubernetes/deployment.yaml",
        ):
            self.assertIn(prometheus.path, (FOLDER / name).read_text())


class FolderTest(absltest.TestCase):
    def test_holds_no_key(self):
        begin = "-----" + "BEGIN"
        for path in files():
            self.assertNotIn(begin, path.read_text(), path)

    def test_git_ignores_keys(self):
        ignored = (FOLDER / ".gitignore").read_text().split()
        for pattern in ("ssl.config", "*.key", "*.pem", "*.crt"):
            self.assertIn(pattern, ignored)

    def test_readme_names_files_that_are_there(self):
        readme = (FOLDER / "README.md").read_text()
        names = re.findall(r"`((?:kubernetes/)?[\w.]+\.(?:\w+))`", readme)
        ours = [n for n in names if n.endswith((".config", ".yaml", ".yml"))]
        self.assertNotEmpty(ours)
        for name in ours:
            if name != "ssl.config":
                self.assertTrue((FOLDER / name).is_file(), name)

    def test_one_image_pinned_no_older_than_tensorflow(self):
        tags = set()
        for path in files():
            # Not the repository's address.
            text = path.read_text().replace("com/tensorflow/serving", "")
            for tag in re.findall(r"tensorflow/serving(\S*)", text):
                tags.add(re.fullmatch(r":([\d.]+\d)(-gpu)?\W*", tag)[1])
        (tag,) = tags
        requirements = (ROOT / "requirements.txt").read_text()
        ours = re.search(r"^tensorflow==(\S+)$", requirements, re.MULTILINE)
        self.assertGreaterEqual(version(tag), version(ours[1]))

    def test_flags_are_those_of_the_server(self):
        # Those in comments, too.
        for name in ("docker-compose.yml", "kubernetes/deployment.yaml"):
            text = (FOLDER / name).read_text()
            flags = re.findall(r"- --(\w+)", text)
            self.assertNotEmpty(flags)
            self.assertLessEqual(set(flags), set(FLAGS))


def version(text):
    return [int(part) for part in text.split(".")]


@needs_yaml
class ServersTest(absltest.TestCase):
    def test_ports_are_the_same_everywhere(self):
        for name, flags in servers().items():
            with self.subTest(name):
                self.assertEqual(flags["port"], str(GRPC))
                self.assertEqual(flags["rest_api_port"], str(REST))
        self.assertEqual(
            {p["name"]: p["containerPort"] for p in container()["ports"]},
            {"grpc": GRPC, "rest": REST},
        )
        annotations = pod()["metadata"]["annotations"]
        self.assertEqual(annotations["prometheus.io/port"], str(REST))
        (prometheus,) = read_yaml("prometheus.yml")
        self.assertEqual(
            prometheus["scrape_configs"][0]["static_configs"][0]["targets"],
            [f"oasis:{REST}"],
        )

    def test_files_named_by_flags_are_mounted(self):
        generated = {
            name
            for generator in read_yaml("kustomization.yaml")[0][
                "configMapGenerator"
            ]
            for name in generator["files"]
        }
        for flags in servers().values():
            for flag, path in flags.items():
                if flag.endswith("_file"):
                    name = path.removeprefix("/config/")
                    self.assertIn(name, TEXT_FILES)
                    self.assertIn(name, generated)
        # Named in comments.
        self.assertIn("batching.config", generated)

    def test_what_is_commented_out_fits(self):
        ours = {
            "batching_parameters_file",
            "enable_batching",
            "ssl_config_file",
        }
        (document,) = uncommented("docker-compose.yml")
        flags = flags_of(document["services"]["oasis"]["command"])
        self.assertLessEqual(ours, set(flags))
        self.assertEqual(flags["ssl_config_file"], "/config/ssl.config")

        (deployment,) = uncommented("kubernetes/deployment.yaml")
        spec = deployment["spec"]["template"]["spec"]
        flags = flags_of(spec["containers"][0]["args"])
        self.assertLessEqual(ours, set(flags))
        self.assertEqual(flags["ssl_config_file"], "/tls/ssl.config")
        mount = spec["containers"][0]["volumeMounts"][-1]
        self.assertEqual(mount["mountPath"], "/tls")
        self.assertEqual(spec["volumes"][-1]["name"], mount["name"])
        secret = spec["volumes"][-1]["secret"]
        self.assertIn(
            f"secret generic {secret['secretName']} ",
            (FOLDER / "README.md").read_text(),
        )

    def test_labels_of_the_first_configuration_are_allowed(self):
        for flags in servers().values():
            flag = "allow_version_labels_for_unavailable_models"
            self.assertEqual(flags[flag], "true")

    def test_batching_is_off(self):
        for flags in servers().values():
            self.assertNotIn("enable_batching", flags)

    def test_not_all_three_parallelisms_are_given(self):
        for flags in servers().values():
            given = [f for f in flags if re.match("tensorflow_.*_parall", f)]
            self.assertLess(len(given), 3)


@needs_yaml
class ComposeTest(absltest.TestCase):
    def test_ports_are_open_to_this_machine_alone(self):
        for name, service in compose()["services"].items():
            for port in service["ports"]:
                self.assertStartsWith(port, "127.0.0.1:", name)
        self.assertEqual(
            compose()["services"]["oasis"]["ports"],
            [f"127.0.0.1:{port}:{port}" for port in (GRPC, REST)],
        )

    def test_mounts_are_read_only_and_where_files_say(self):
        mounts = compose()["services"]["oasis"]["volumes"]
        self.assertEqual(
            [mount["target"] for mount in mounts], ["/models", "/config"]
        )
        for service in compose()["services"].values():
            for mount in service["volumes"]:
                self.assertIs(mount["read_only"], True)
                source = mount["source"]
                if not source.startswith("$"):
                    self.assertTrue((FOLDER / source).exists(), source)

    def test_all_images_are_pinned(self):
        for service in compose()["services"].values():
            self.assertRegex(service["image"], r":v?\d+\.\d+\.\d+$")

    @unittest.skipIf(shutil.which("bash") is None, "There is no bash.")
    def test_the_health_check_wants_an_available_version(self):
        for state, is_healthy in (("AVAILABLE", True), ("LOADING", False)):
            with self.subTest(state), status_server(state) as port:
                self.assertEqual(health_check(port) == 0, is_healthy)
        with self.subTest("closed"):
            self.assertNotEqual(health_check(port), 0)

    @needs("check_jsonschema")
    def test_is_of_the_compose_specification(self):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "check_jsonschema"),
                *("--builtin-schema", "vendor.compose-spec"),
                FOLDER / "docker-compose.yml",
            ],
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


def health_check(port):
    """Returns the exit code of the health check against another port."""
    kind, *command = compose()["services"]["oasis"]["healthcheck"]["test"]
    assert kind == "CMD"
    command = [word.replace(f"/{REST}", f"/{port}") for word in command]
    return subprocess.run(command, capture_output=True).returncode


class status_server:  # noqa: N801, a context manager.
    """Answers as TF Serving does about a generator in some state."""

    def __init__(self, state):
        body = f'{{"model_version_status": [{{"state": "{state}"}}]}}'.encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # noqa: N802, the base class calls it.
                known = self.path == f"/v1/models/{model_files.GENERATOR}"
                self.send_response(200 if known else 404)
                answer = body if known else b""
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self._server.server_port

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@needs_yaml
class KubernetesTest(absltest.TestCase):
    def test_all_manifests_are_of_the_deployment_but_the_copier(self):
        (kustomization,) = read_yaml("kustomization.yaml")
        names = {path.name for path in (FOLDER / "kubernetes").iterdir()}
        self.assertEqual(
            {pathlib.Path(name).name for name in kustomization["resources"]},
            names - {"copy_models.yaml"},
        )
        for name in kustomization["resources"]:
            self.assertTrue((FOLDER / name).is_file())

    def test_models_and_configuration_are_mounted_where_files_say(self):
        mounts = {m["mountPath"]: m for m in container()["volumeMounts"]}
        volumes = {v["name"]: v for v in pod()["spec"]["volumes"]}
        models_mount, config = mounts["/models"], mounts["/config"]
        self.assertTrue(models_mount["readOnly"] and config["readOnly"])
        claim = volumes[models_mount["name"]]["persistentVolumeClaim"]
        self.assertIn(
            ("PersistentVolumeClaim", claim["claimName"]), manifests()
        )
        sources = volumes[config["name"]]["projected"]["sources"]
        self.assertEqual(
            [source["configMap"]["name"] for source in sources],
            [
                generator["name"]
                for generator in read_yaml("kustomization.yaml")[0][
                    "configMapGenerator"
                ]
            ],
        )
        copier = manifests()["Pod", "copy-models"]["spec"]
        self.assertEqual(copier["volumes"][0]["persistentVolumeClaim"], claim)

    def test_selectors_find_the_pods(self):
        labels = pod()["metadata"]["labels"]
        found = manifests()
        selectors = [
            found["Deployment", "oasis"]["spec"]["selector"]["matchLabels"],
            found["Service", "oasis"]["spec"]["selector"],
            found["Service", "oasis-pods"]["spec"]["selector"],
            found["PodDisruptionBudget", "oasis"]["spec"]["selector"][
                "matchLabels"
            ],
            found["NetworkPolicy", "oasis"]["spec"]["podSelector"][
                "matchLabels"
            ],
        ]
        for selector in selectors:
            self.assertEqual(selector, labels)
        target = found["HorizontalPodAutoscaler", "oasis"]["spec"][
            "scaleTargetRef"
        ]
        self.assertIn((target["kind"], target["name"]), found)
        # Both would set them.
        self.assertNotIn("replicas", found["Deployment", "oasis"]["spec"])

    def test_services_offer_grpc_alone(self):
        for (kind, _), manifest in manifests().items():
            if kind == "Service":
                (port,) = manifest["spec"]["ports"]
                self.assertEqual(port["port"], GRPC)
                self.assertEqual(port["targetPort"], "grpc")

    def test_probes_ask_for_a_model_that_is_served(self):
        for name in ("startupProbe", "readinessProbe"):
            get = container()[name]["httpGet"]
            self.assertEqual(get["port"], "rest")
            model = get["path"].removeprefix("/v1/models/")
            self.assertIn(model, [m.name for m in models("models.config")])
        self.assertEqual(
            container()["livenessProbe"]["tcpSocket"]["port"], "grpc"
        )

    def test_calls_may_end_before_the_server_does(self):
        command = container()["lifecycle"]["preStop"]["exec"]["command"]
        seconds = int(command[1])
        flags = flags_of(container()["args"])
        limit = int(flags["rest_api_timeout_in_ms"]) / 1000
        self.assertEqual(command[0], "sleep")
        self.assertGreater(seconds, limit)
        grace = pod()["spec"]["terminationGracePeriodSeconds"]
        self.assertGreater(grace, seconds)

    def test_threads_are_the_cores_of_the_container(self):
        cores = container()["resources"]["limits"]["cpu"]
        flags = flags_of(container()["args"])
        for kind in ("intra", "inter"):
            self.assertEqual(flags[f"tensorflow_{kind}_op_parallelism"], cores)

    def test_nothing_runs_with_privileges(self):
        copier = manifests()["Pod", "copy-models"]
        for spec in (pod()["spec"], copier["spec"]):
            self.assertIs(spec["securityContext"]["runAsNonRoot"], True)
            for one in spec["containers"]:
                context = one["securityContext"]
                self.assertIs(context["allowPrivilegeEscalation"], False)
                self.assertIs(context["readOnlyRootFilesystem"], True)
                self.assertEqual(context["capabilities"], {"drop": ["ALL"]})

    @needs("kubernetes_validate")
    def test_manifests_are_of_the_published_schemas(self):
        import kubernetes_validate

        newest = kubernetes_validate.latest_version()
        for (kind, name), manifest in manifests().items():
            for release in (KUBERNETES, newest):
                with self.subTest(kind=kind, name=name, release=release):
                    kubernetes_validate.validate(manifest, release, strict=True)


@unittest.skipIf(shutil.which("openssl") is None, "There is no openssl.")
class MakeSSLConfigTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = pathlib.Path(absltest.get_default_test_tmpdir(), "tls")
        cls.folder.mkdir(parents=True, exist_ok=True)
        for name in ("a", "b"):
            subprocess.run(
                [
                    *("openssl", "req", "-x509", "-nodes", "-days", "2"),
                    *("-newkey", "rsa:2048", "-subj", "/CN=localhost"),
                    *("-keyout", cls.folder / f"{name}.key"),
                    *("-out", cls.folder / f"{name}.crt"),
                ],
                check=True,
                capture_output=True,
            )

    def run_script(self, key, cert, *others):
        return subprocess.run(
            [
                *(sys.executable, SCRIPT, f"--key={self.folder / key}"),
                f"--cert={self.folder / cert}",
                f"--out={self.out}",
                *others,
            ],
            capture_output=True,
            text=True,
        )

    def setUp(self):
        super().setUp()
        self.out = self.folder / "ssl.config"
        self.out.unlink(missing_ok=True)

    def test_holds_the_texts_for_its_owner_alone(self):
        done = self.run_script("a.key", "a.crt")
        self.assertEqual(done.returncode, 0, done.stderr)
        config = messages.parse_file(self.out, messages.SSLConfig)
        key, cert = (self.folder / "a.key", self.folder / "a.crt")
        self.assertEqual(config.server_key, key.read_text())
        self.assertEqual(config.server_cert, cert.read_text())
        self.assertFalse(config.client_verify)
        self.assertEqual(self.out.stat().st_mode & 0o777, 0o600)

    def test_an_authority_makes_clients_show_a_certificate(self):
        authority = self.folder / "b.crt"
        self.run_script("a.key", "a.crt", f"--ca={authority}")
        config = messages.parse_file(self.out, messages.SSLConfig)
        self.assertEqual(config.custom_ca, authority.read_text())
        self.assertTrue(config.client_verify)

    def test_what_does_not_fit_is_refused(self):
        for key, cert, *others in (
            ("b.key", "a.crt"),
            ("a.crt", "a.crt"),
            ("none", "a.crt"),
            ("a.key", "a.crt", f"--ca={self.folder / 'a.key'}"),
        ):
            with self.subTest(key=key, cert=cert, others=others):
                done = self.run_script(key, cert, *others)
                self.assertEqual(done.returncode, 2)
                self.assertRegex(done.stderr, "must be .* Received: ")
                self.assertLen(done.stderr.splitlines(), 1)
                self.assertFalse(self.out.exists())


if __name__ == "__main__":
    absltest.main()
