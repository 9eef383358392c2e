# Needs Python 3.10 or newer, make and a package index. `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := mock_server tests docs examples .ci

.DEFAULT_GOAL := help
.PHONY: help mock test unit browser compat packaging image reliability audit lint types format bench docs pictures check wheel docker \
	compose clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

mock: $(VENV)/.run  ## serve scenarios/ on http://127.0.0.1:8787, reloading when files change
	@$(BIN)/mock-server serve --reload $(ARGS) scenarios

test: unit browser compat packaging  ## the whole test suite; a browser, the older SDKs and the SDK's own tests where they can be had

unit: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist worksteal --ignore=tests/browser --ignore=tests/packaging --ignore=tests/image $(ARGS)

browser: $(VENV)/.dev  # a process of its own: Playwright keeps an event loop running
	$(BIN)/python -m pytest tests/browser

compat: $(VENV)/.dev
	$(BIN)/python tests/compat/matrix.py
	$(BIN)/python tests/compat/sdk_suite.py

packaging: $(VENV)/.dev  # wheel and sdist, and pip, uvx and pipx from the git repository
	$(BIN)/python -m pytest tests/packaging

image: $(VENV)/.dev  ## the tests of the image (needs docker)
	$(BIN)/python -m pytest tests/image --timeout 300

reliability: $(VENV)/.dev  ## look for what hangs, kills or confuses the server; ARGS=--long goes on for hours
	$(BIN)/python tests/reliability/run.py $(ARGS)

audit: $(VENV)/.run  ## known holes in what is installed beside it, where their list can be reached
	$(VENV)/bin/python .ci/audit.py

lint: $(VENV)/.dev  ## ruff: rules and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(VENV)/.dev  ## mypy, strict on the package
	$(BIN)/mypy
	$(BIN)/mypy tests/typing/public.py

format: $(VENV)/.dev  ## put the code in form
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

check: $(VENV)/.run  ## report the mistakes in scenarios/
	@$(BIN)/mock-server check scenarios

docs: $(VENV)/.dev  ## write the generated parts of docs/ again
	$(BIN)/python docs/generate.py

pictures: $(VENV)/.dev  ## make the README's pictures of the page anew (needs the extra `browser` and chromium)
	$(BIN)/python docs/pictures.py

bench: $(VENV)/.dev  ## measure against a bare aiohttp server, and write docs/performance.md (needs gcc and wrk)
	$(BIN)/python bench/report.py $(ARGS)
	$(BIN)/python bench/fixture.py
	$(BIN)/python bench/held.py
	$(BIN)/python bench/validation.py

wheel: $(VENV)/.dev  ## build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

docker:  ## build the image messages-mock-server
	docker build --tag messages-mock-server .

compose:  ## the sidecar and a client that talks to it
	docker compose up --build --exit-code-from client

clean:  ## remove what the other targets made
	rm -rf $(VENV) .compat dist build bench/bin bench/data .mypy_cache .pytest_cache .ruff_cache .hypothesis

# One line for each package: what takes the time, and how far it is. A failure ends with pip's own reason.
define install
	@echo "installing into $(VENV), once ..." >&2
	@{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e $(1) 2>&1; echo "exit $$?"; } | { \
	  n=0; while read -r first second rest; do case "$$first $$second" in \
	    "Collecting "*) n=$$((n+1)); echo "  $$n $$second";; \
	    "Installing collected") echo "  installing $$n packages";; \
	    "exit 0") echo "installed: $(BIN)/mock-server";; \
	    "exit "*) echo "not installed: pip has said why; run make again once that is mended"; exit "$$second";; \
	    ERROR*|error*|"WARNING: Retrying"*) echo "$$first $$second $$rest";; \
	  esac; done; } >&2
endef

$(VENV)/bin/python:
	@echo "making $(VENV) with $$($(PYTHON) --version) ..." >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(call install,.)
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(call install,'.[dev]')
	@touch $@ $(VENV)/.run
