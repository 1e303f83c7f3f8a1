.DEFAULT_GOAL := help

# Any supported Python; another one with `make setup PYTHON=...`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c $(SUPPORTED) 2>/dev/null && echo $$p && break; done)
SUPPORTED := "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))"

# More arguments for a command: make test ARGS=tests/config_test.py
ARGS ?=

# TensorFlow's warnings and errors, without what it says on starting.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help
help: ## Print this list.
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 12

.PHONY: setup
setup: .venv/.installed ## Install everything into .venv; the rest does it too.

# While it runs, .venv/.installing holds the process id. A run that was cut off
# leaves it behind, and the next one starts from nothing.
.venv/.installed: requirements.lock
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c $(SUPPORTED) || { \
	  echo "Needs Python 3.11, 3.12 or 3.13: make setup PYTHON=/path/to/python." \
	    "Received: $${PYTHON:-$(or $(PYTHON),none of them on the PATH)}." >&2; \
	  exit 1; }
	@if [ -e .venv/.installing ] && \
	    kill -0 "$$(cat .venv/.installing)" 2>/dev/null; then \
	  echo "Another 'make setup' is at work (process" \
	    "$$(cat .venv/.installing)): wait for it, or delete .venv." >&2; \
	  exit 1; \
	fi; \
	set -e; \
	if [ -e .venv/.installing ] || \
	    ! .venv/bin/python -m pip --version >/dev/null 2>&1; then \
	  rm -rf .venv; mkdir .venv; echo $$$$ >.venv/.installing; \
	  "$(PYTHON)" -m venv .venv; \
	fi; \
	echo $$$$ >.venv/.installing; \
	echo "Installing requirements.lock into .venv: some minutes, 3 GB."; \
	.venv/bin/python -m pip install --quiet --disable-pip-version-check \
	  --requirement requirements.lock; \
	mv .venv/.installing $@

.PHONY: demo
demo: setup ## Train on generated scenes and draw the result.
	@.venv/bin/python -m oasis_tf.demo $(ARGS)

# In two processes, for most of the time goes to starting commands. A file's
# tests stay together: they share what they set up.
PYTEST := .venv/bin/python -m pytest --numprocesses=2 --dist=loadfile

.PHONY: test
test: setup ## Run the tests, without those marked slow.
	@$(PYTEST) $(ARGS)

.PHONY: test-all
test-all: setup ## Run all the tests, with graphs optimized as for users.
	@$(PYTEST) -m "slow or not slow" --optimize $(ARGS)

.PHONY: lint
lint: setup ## Check style and format.
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .

.PHONY: lock
lock: ## Write requirements.lock anew from requirements.txt and pyproject.toml.
	@rm -rf build/lock
	@"$(PYTHON)" -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check \
	  ".[dev]"
	@build/lock/bin/python -m pip check
	@{ echo "# Written by 'make lock': all that 'make setup' installs."; \
	  build/lock/bin/python -m pip freeze --exclude oasis_tf; \
	} >build/requirements.lock
	@mv build/requirements.lock requirements.lock
	@rm -rf build/lock

.PHONY: clean
clean: ## Remove caches and built files; .venv and runs stay.
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache bazel-*
	@find oasis_tf configs tests -name __pycache__ -prune -exec rm -rf {} +
