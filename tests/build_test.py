"""Holds the lists kept by hand (BUILD, pyproject.toml, lock) to the files."""

import ast
import pathlib
import tempfile
import tomllib

from absl.testing import absltest

ROOT = pathlib.Path(__file__).parents[1]


def list_in_build(root, name):
    """Returns the list of strings assigned to `name` in `root/BUILD`."""
    for statement in ast.parse((root / "BUILD").read_text()).body:
        if isinstance(statement, ast.Assign):
            if [target.id for target in statement.targets] == [name]:
                return ast.literal_eval(statement.value)
    raise ValueError(f"BUILD needs a list `{name} = [...]`. Received: none.")


def find_commands(root):
    """Returns the modules of oasis_tf/ that run as a command."""
    return sorted(
        path.stem
        for path in (root / "oasis_tf").glob("*.py")
        if any(
            isinstance(statement, ast.If)
            and ast.unparse(statement.test) == "__name__ == '__main__'"
            for statement in ast.parse(path.read_text()).body
        )
    )


def find_tests(root):
    """Returns the test files, relative to `root`."""
    return sorted(
        path.relative_to(root).as_posix()
        for path in (root / "tests").rglob("*_test.py")
    )


def find_packages(root):
    """Returns the packages to install: every folder that holds a module."""
    folders = {
        path.parent.relative_to(root)
        for path in (root / "oasis_tf").rglob("*.py")
    }
    names = {".".join(folder.parts) for folder in folders}
    return sorted(names | {"oasis_tf.configs", "oasis_tf.web"})


def find_pins(lines):
    """Returns {name: version} of `name==version` lines; without one, ""."""
    pins = {}
    for line in lines:
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            pins[name.replace("_", "-").lower()] = version
    return pins


def differences(name, listed, expected):
    """Returns one line for each change that brings `listed` to `expected`."""
    changes = [
        f'{name}: add    "{item}",' for item in expected if item not in listed
    ]
    for item in sorted(set(listed) - set(expected)):
        changes.append(f'{name}: remove "{item}",')
    for item in sorted({item for item in listed if listed.count(item) > 1}):
        changes.append(f'{name}: twice  "{item}",')
    if not changes and listed != sorted(listed):
        changes.append(f"{name}: sort the list")
    return changes


def build_differences(root):
    """Returns what to change in `root/BUILD`; nothing if it fits the files."""
    return [
        *differences(
            "COMMANDS", list_in_build(root, "COMMANDS"), find_commands(root)
        ),
        *differences("TESTS", list_in_build(root, "TESTS"), find_tests(root)),
    ]


class BuildTest(absltest.TestCase):
    def test_build_has_a_target_for_each_command_and_each_test(self):
        changes = build_differences(ROOT)
        if changes:
            self.fail("BUILD does not fit the files.\n" + "\n".join(changes))


class InstallTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())

    def test_each_folder_with_modules_is_installed(self):
        listed = self.pyproject["tool"]["setuptools"]["packages"]
        changes = differences("packages", sorted(listed), find_packages(ROOT))
        if changes:
            self.fail("pyproject.toml: " + "\n".join(changes))

    def test_each_other_file_of_the_package_is_installed(self):
        patterns = self.pyproject["tool"]["setuptools"]["package-data"]["*"]
        endings = {pattern.removeprefix("**/*") for pattern in patterns}
        missing = [
            path.relative_to(ROOT).as_posix()
            for path in (ROOT / "oasis_tf").rglob("*.*")
            if path.is_file() and path.suffix not in endings | {".py", ".pyc"}
        ]
        self.assertEmpty(missing, "pyproject.toml: add to package-data")

    def test_lock_has_each_version_asked_for(self):
        asked = find_pins(
            (ROOT / "requirements.txt").read_text().splitlines()
            + self.pyproject["project"]["optional-dependencies"]["dev"]
        )
        locked = find_pins(
            (ROOT / "requirements.lock").read_text().splitlines()
        )
        wrong = [
            f"{name}: asked for {version}, locked {locked.get(name)}"
            for name, version in asked.items()
            if locked.get(name) != version
        ]
        self.assertEmpty(wrong, "requirements.lock: run `make lock`")


class DifferencesTest(absltest.TestCase):
    """The checker itself, on a small tree of its own."""

    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.root = pathlib.Path(folder)
        self.write("BUILD", 'COMMANDS = ["go"]\nTESTS = ["tests/a_test.py"]\n')
        self.write("oasis_tf/go.py", 'if __name__ == "__main__":\n    main()\n')
        self.write("oasis_tf/shapes.py", "def main():\n    pass\n")
        self.write("tests/a_test.py", "")
        self.write("tests/helper.py", "")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_a_fitting_build_needs_no_change(self):
        self.assertEqual(build_differences(self.root), [])

    def test_an_added_test_without_target_is_named(self):
        self.write("tests/models/b_test.py", "")
        self.assertEqual(
            build_differences(self.root),
            ['TESTS: add    "tests/models/b_test.py",'],
        )

    def test_an_added_command_without_target_is_named(self):
        self.write("oasis_tf/stop.py", "if __name__ == '__main__':\n    pass\n")
        self.assertEqual(
            build_differences(self.root), ['COMMANDS: add    "stop",']
        )

    def test_a_target_without_file_is_named(self):
        (self.root / "tests/a_test.py").unlink()
        self.assertEqual(
            build_differences(self.root), ['TESTS: remove "tests/a_test.py",']
        )

    def test_a_list_with_doubles_or_out_of_order_is_told(self):
        self.assertEqual(
            differences("X", ["a", "a"], ["a"]), ['X: twice  "a",']
        )
        self.assertEqual(
            differences("X", ["b", "a"], ["a", "b"]), ["X: sort the list"]
        )

    def test_a_build_without_the_list_is_refused(self):
        self.write("BUILD", "COMMANDS = []\n")
        with self.assertRaisesRegex(ValueError, "BUILD needs a list `TESTS"):
            build_differences(self.root)


if __name__ == "__main__":
    absltest.main()
