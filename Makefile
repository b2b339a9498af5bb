# `make test` does all the set-up.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SERVERS := docker-registry redis-server postgresql skopeo

.DEFAULT_GOAL := help
REF ?=

.PHONY: docs help setup demo servers test fast soak check fmt lint fuzz bench clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install what tagstream needs into .venv (idempotent)

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "tagstream needs Python 3.11: install it, or set PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Installing tagstream's Python packages into $(VENV) (one to four minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## Show an import from end to end (REF=quay.io/team/app: of that repository)
	@test -n "$(REF)" || ./tests/install-servers docker-registry
	@$(BIN)/python -m demo $(REF)

servers: ## Install the real servers that tests and demo use (apt: docker-registry redis-server postgresql skopeo)
	@./tests/install-servers $(SERVERS)

test: setup servers ## Run the whole suite against real servers
	@$(BIN)/python -m pytest -n 3 -q

docs: setup ## Write the pages that are made from the code
	@for page in acceptance settings_page metrics_page kinds_page; do $(BIN)/python -m tests.$$page || exit 1; done

fast: setup ## Run the unit tests only
	@$(BIN)/python -m pytest -q tests/unit

soak: setup servers ## Run the long tests: kills for half an hour; a million tags for four simulated hours, twice
	@SOAK_SECONDS=60 $(BIN)/python -m pytest -q tests/e2e/test_watch_continuity.py
	@SOAK_ROUNDS=10 SOAK_TAGS=5000 SOAK_INTERVAL=60 $(BIN)/python -m pytest -q -s tests/e2e/test_schedule_process_kills.py
	@$(BIN)/python -m bench --only simulation --tags 1000000 --registries 2000 --hours 4
	@$(BIN)/python -m bench --only quota

check: lint test ## Run lint and test: everything that must be green before a commit lands

fmt: setup ## Format the code
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix-only .

lint: setup ## Check formatting, ruff, mypy strict and the import contracts
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fuzz: setup ## Send some twenty thousand malformed requests to the API (FUZZ_EXAMPLES=200 an operation)
	@$(BIN)/python -m tests.fuzz

bench: setup servers ## Measure everything that has a target, some fifty minutes (results: bench/results*.md)
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench --only api
	@$(BIN)/python -m bench --only schedule

clean: ## Remove what setup made
	@rm -rf $(VENV) .demo .state *.egg-info
