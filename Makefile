# Every target makes the environment it needs in .venv and passes options on: make TARGET ARGS="…"
# Why pip fetches uv and uv the rest: docs/decisions/0001-pins-and-environments.md

PYTHON ?= python3
ARGS ?=
DEMO ?= forescale dry-run
export FORESCALE_TRACES ?= $(abspath ../shared/traces)
unexport PYTHONDONTWRITEBYTECODE  # without bytecode pytest reads 3,900 tests anew each time: a fifth of `make check`

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
PIN := $(BIN)/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --custom-compile-command "make constraints"
PIN_AS_DEV := $(PIN) --constraint constraints/dev.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check lint controlplane cluster-test cluster-demo train evaluate docs dashboard bench bench-api bench-operator image-test constraints clean
.DELETE_ON_ERROR:

help:  ## Show this list
	@echo 'make TARGET ARGS="…" passes options on. PYTHON=python3.12 picks another interpreter for .venv.'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUNTIME)  ## Drive a simulated cluster through a generated day and report on it (no torch, no cluster)
	@$(BIN)/$(DEMO) $(ARGS)

test: lint  ## Everything a reviewer would run: format, lint, types, import contracts, all tests
	$(BIN)/python -m tests.cluster.build_controlplane || echo 'Without these programs the cluster tests are skipped.'
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder $(ARGS)

check: lint  ## The same without the slow tests, on every core; ARGS="-n 0" for one process, as a debugger wants it
	$(BIN)/pytest -n auto -m "not slow and not cluster" $(ARGS)

lint: $(DEV)  ## Format, lint, types and import contracts, without tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

controlplane: $(DEV)  ## Build the control plane of the cluster tests from pinned Go modules (once, some 20 minutes)
	$(BIN)/python -m tests.cluster.build_controlplane $(ARGS)

cluster-test: $(DEV)  ## The tests against a real control plane alone
	$(BIN)/python -m tests.cluster.build_controlplane
	$(BIN)/pytest -m cluster $(ARGS)

cluster-demo: $(DEV)  ## The operator on a real control plane on this machine, for you to watch (no Docker)
	$(BIN)/python -m tests.cluster.demo $(ARGS)

train: $(DEV)  ## Train a policy; TensorBoard reads its log
	$(BIN)/forescale train $(ARGS)

evaluate: $(DEV)  ## Every rival and the default policy over the traces in FORESCALE_TRACES
	@$(BIN)/forescale evaluate --traces $(FORESCALE_TRACES) $(ARGS)

docs: $(DEV)  ## The documentation site, into docs/_build/html; a broken link fails
	$(BIN)/sphinx-build --quiet --fail-on-warning --nitpicky docs docs/_build/html $(ARGS)

dashboard: $(DEV)  ## Write the Grafana dashboards again from deploy/grafana/dashboards.py
	$(BIN)/python -m deploy.grafana.dashboards

bench: $(DEV)  ## Environment steps, PPO steps and decisions a second
	$(BIN)/python -m benchmarks.speed $(ARGS)

bench-api: $(DEV)  ## The recommendation API under load, beside a bare FastAPI endpoint
	$(BIN)/python -m benchmarks.api $(ARGS)

image-test: $(DEV)  ## Build the images and run them in containers, without Docker (part of make test)
	$(BIN)/python -m tests.cluster.build_controlplane
	$(BIN)/pytest tests/image $(ARGS)

bench-operator: $(DEV)  ## The operator beside the HPA controller on a real control plane, at 100 to 5,000 workloads
	$(BIN)/python -m tests.cluster.build_controlplane
	$(BIN)/python -m benchmarks.operator $(ARGS)

constraints: $(BIN)/uv  ## Resolve the versions in constraints/ again; ARGS="--upgrade" takes newer ones
	printf 'uv\n' | $(PIN) - --output-file constraints/uv.txt $(ARGS)
	$(PIN) pyproject.toml --group install --extra report --extra training --extra tuning --extra ray --extra api --extra docs --extra dev \
		--output-file constraints/dev.txt $(ARGS)
	$(PIN_AS_DEV) pyproject.toml --group install --extra report --output-file constraints/runtime.txt $(ARGS)
	$(PIN_AS_DEV) --group install --output-file constraints/build.txt $(ARGS)
	$(PIN_AS_DEV) pyproject.toml --output-file constraints/operator.txt $(ARGS)
	$(PIN_AS_DEV) pyproject.toml --extra api --output-file constraints/api.txt $(ARGS)
	$(PIN_AS_DEV) pyproject.toml --extra tuning --extra ray --output-file constraints/training.txt $(ARGS)

clean:  ## Remove .venv, caches and build leftovers
	rm -rf $(VENV) build dist docs/_build docs/_generated *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find scaling sim training controller forescale benchmarks tests -name __pycache__ -prune -exec rm -rf {} +

# One .venv, two stamps. The dev pins contain the runtime pins, so installing dev settles both.

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'forescale needs Python 3.11 or newer; name one: make PYTHON=python3.12 …' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(BIN)/uv: constraints/uv.txt | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints/uv.txt
	@touch $@

$(RUNTIME): constraints/runtime.txt pyproject.toml | $(BIN)/uv
	$(INSTALL) --require-hashes -r constraints/runtime.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): constraints/dev.txt pyproject.toml | $(BIN)/uv
	@echo 'Installing the training and test environment (6 GB on Linux: PyTorch with CUDA) …'
	$(INSTALL) --require-hashes -r constraints/dev.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $(RUNTIME) $@
