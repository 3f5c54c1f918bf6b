# The two commands: `make demo` runs the lab, `make test` tests it. Both install first and are quick when nothing changed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PORT   ?= 3000
MLFLOW_PORT ?= $(or $(QUANT_MLFLOW_PORT),5000)

# A worker a core and one more (tests/conftest.py), a file of tests a worker. An environment that forbids bytecode would
# have each of them, and every command that they start, compile all modules again.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast soak check audit format dev mlflow docs tables notebooks lock clean wheel-check deploy-check ray-demo

help:  ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

install: $(STAMP)  ## Create .venv and install the pinned packages

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: install  ## Run the whole lab on a simulated market and print the report's path
	$(BIN)/quant demo

test: install  ## Run every test (those that need private data or Chromium say why they are skipped)
	$(PYTEST)

test-fast: install  ## The tests that take under a minute together
	$(PYTEST) -m "not slow and not ui and not real_data"

soak: install  ## Sixty sessions through the daemons, kills of runs and servers, every fault; prints its counts; over an hour on two cores
	$(PYTEST) -m soak -rP --durations=0

check: install  ## Lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit:  ## Ask the advisory database for every pinned version (needs the network)
	test -x .audit/bin/pip-audit || { $(PYTHON) -m venv .audit && .audit/bin/pip install --quiet pip-audit==2.10.1; }
	sed '/^ *#/d' constraints.txt > .audit/pinned.txt
	.audit/bin/pip-audit --strict --no-deps --disable-pip -r .audit/pinned.txt

format: install  ## Rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dev: install  ## The web UI on loopback, with the daemon (schedules, backfills, sensors) and MLflow's UI
	$(BIN)/quant dev --port $(PORT) --mlflow-port $(MLFLOW_PORT)

wheel-check:  ## Build the wheel, install it elsewhere and run `quant demo` and `quant dev` from there
	PYTHON=$(PYTHON) bash .ci/wheel_check

deploy-check: install  ## Validate what deploy/ ships for Docker and Kubernetes, offline
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c deploy/constraints.txt -e '.[k8s]' kubernetes-validate
	$(PYTEST) tests/assets/test_deployment.py

ray-demo: install  ## Fit models and folds side by side on a local Ray cluster; equal by hash, speed-up of two workers
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c deploy/constraints.txt -e '.[ray]'
	$(BIN)/python benchmarks/ray_demo.py

mlflow: install  ## MLflow's own UI on loopback, over the runs that the lab tracked
	$(BIN)/quant mlflow --port $(MLFLOW_PORT)

docs: install  ## The API reference from the docstrings, into docs/api/; any warning is an error
	$(BIN)/python docs/build_api.py

tables: install  ## Bring the tables of the pages in docs/ up to date
	$(BIN)/python docs/tables.py

notebooks: install  ## Run the notebooks on the stored lab of QUANT_PROFILE and write them as pages into notebooks-html/
	$(BIN)/python notebooks/pages.py

lock: install  ## Pin what is installed now into constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable | sed 's|+cpu||' | sort -f > constraints.txt

clean:  ## Remove the environment and caches; keeps data and dagster_home
	rm -rf $(VENV) .audit .mypy_cache .ruff_cache .hypothesis docs/api notebooks-html
