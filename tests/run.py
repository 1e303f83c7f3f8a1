"""Runs the test files named on its command line: what Bazel starts."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["--optimize", *sys.argv[1:]]))
