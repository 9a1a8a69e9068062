# Everything a person does with this checkout. `make help` lists it.
# Both `make demo` and `make test` keep to one virtual environment, .venv; stamp files in it make a second run quick.
# Node comes from there too; what it installs for the tests goes to tests/clients/node_modules.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --require-virtualenv
MADE := $(VENV)/.made
DEMO := $(VENV)/.demo
DEV := $(VENV)/.dev
NODE := tests/clients/node_modules
CLIENTS := $(NODE)/.made

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export NO_MKDOCS_2_WARNING := 1

.PHONY: help demo test setup check lint types imports purity docs format bench lock upgrade clean

help: ## show this list
	@echo 'make TARGET [ARGS="..."]'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO) ## run the demo; ARGS go to `parcours demo`
	@$(BIN)/parcours demo $(ARGS)

test: $(DEV) $(CLIENTS) ## run the tests on JOBS processes (2); ARGS go to pytest
	@$(BIN)/pytest -n $(JOBS) $(ARGS)

setup: $(DEV) $(CLIENTS) ## make .venv with everything for development, and install the clients and the browser of the tests
	@echo "$(VENV) is ready."

check: lint types imports purity docs ## everything that can be said without running the tests

lint: $(DEV) ## style and likely mistakes
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check || { echo 'Run "make format".'; exit 1; }

types: $(DEV) ## types, strictly
	@$(BIN)/mypy

imports: $(DEV) ## who may import whom (.importlinter)
	@$(BIN)/lint-imports --no-logo

purity: $(DEV) ## no clock, no chance, no I/O where decisions are made
	@$(BIN)/python tools/check_purity.py

# Without --quiet, which would hide the warnings from --strict as well.
docs: $(DEV) ## links and completeness of the documentation, then build it into build/site
	@$(BIN)/python tools/check_docs.py
	@$(BIN)/mkdocs build --strict

format: $(DEV) ## mend what can be mended by itself
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

bench: $(DEV) ## run each benchmark in benchmarks/
	@found=; for file in benchmarks/*.py; do \
		grep -qs '__main__' "$$file" || continue; \
		name=$$(basename "$$file" .py); found=1; echo "== $$name"; $(BIN)/python -m "benchmarks.$$name" $(ARGS) || exit 1; \
	done; [ -n "$$found" ] || echo 'There are no benchmarks yet.'

# The locks name versions and hashes, no addresses: any mirror will do. run.txt and demo.txt are held to the versions
# of dev.txt, so that installing one after the other changes nothing.
LOCK = "$$dir/bin/uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links

lock: ## write requirements/*.txt anew after a change of pyproject.toml; versions stay where they can
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && \
	$(PYTHON) -m venv "$$dir" && "$$dir/bin/python" -m pip install -qq "uv>=0.9" && \
	$(LOCK) $(LOCK_ARGS) --extra demo --extra remote --group build --group dev --output-file requirements/dev.txt && \
	$(LOCK) $(LOCK_ARGS) --extra demo --group build --constraint requirements/dev.txt --output-file requirements/demo.txt && \
	$(LOCK) $(LOCK_ARGS) --group build --constraint requirements/dev.txt --output-file requirements/run.txt

upgrade: ## write requirements/*.txt anew with the newest versions
	@$(MAKE) --no-print-directory lock LOCK_ARGS=--upgrade

clean: ## remove what was built, caches, .venv and the clients of the tests
	@rm -rf $(VENV) $(NODE) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find src tests tools benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'parcours needs Python 3.11 or newer, and "$(PYTHON)" is not.'; \
		echo 'Name another one: make PYTHON=python3.12'; exit 1; } >&2
	@$(PYTHON) -m venv --clear $(VENV) || { \
		echo 'Python could not make a virtual environment. On Debian: apt install python3-venv'; exit 1; } >&2
	@touch $@

# The project itself is installed in place, with the build backend from the lock, so nothing unlocked is fetched.
$(DEMO): $(MADE) requirements/demo.txt pyproject.toml
	@echo 'Installing what the demo needs into $(VENV): a minute or two, once.'
	@$(PIP) install --require-hashes -r requirements/demo.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Development has all that the demo has, in the same versions.
$(DEV): $(MADE) requirements/dev.txt requirements/demo.txt pyproject.toml
	@echo 'Installing what development needs into $(VENV): a minute or two, once.'
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(DEMO) $@

# JavaScript clients and a browser: packages all of them, none of which may run a script of its own here.
$(CLIENTS): tests/clients/package.json tests/clients/package-lock.json tests/clients/.npmrc tests/clients/unpack.js | $(DEV)
	@echo 'Installing the clients and the browser of the tests into $(NODE): half a minute, once.'
	@$(BIN)/npm ci --prefix tests/clients --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@$(BIN)/node tests/clients/unpack.js $(NODE)/.chromium >/dev/null
	@touch $@
