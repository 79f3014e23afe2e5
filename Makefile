# The two commands of README: `make run` and `make test`. Everything happens in .venv; nothing needs root.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.penstock-installed

.PHONY: run test coverage check format schemas lock image bench profile soak clean

run: $(STAMP)            ## start the demo and print calls that work
	@exec $(BIN)/penstock demo

test: $(STAMP) check     ## what a change has to pass
	$(BIN)/python -m pytest

coverage: $(STAMP)       ## the same tests, with the lines and branches that none of them runs; a quarter slower
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered

check: $(STAMP)          ## style, types, layers, generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m gateway.manifest.json_schemas --check openapi
	$(BIN)/python -m gateway.admin.describe --check openapi

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schemas: $(STAMP)        ## rewrite openapi/ from the models and the admin's routes
	$(BIN)/python -m gateway.manifest.json_schemas --write openapi
	$(BIN)/python -m gateway.admin.describe --write openapi

# Versions stay as they are where they still fit; make lock UPGRADE=--upgrade takes the newest.
LOCK = $(BIN)/uv --no-config --quiet pip compile --universal --python-version 3.11.5 --generate-hashes \
  --no-header --no-annotate --default-index https://pypi.org/simple $(UPGRADE)
lock: $(STAMP)           ## rewrite requirements.lock and requirements-build.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group lock
	env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL $(LOCK) --output-file requirements.lock pyproject.toml
	env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL $(LOCK) --output-file requirements-build.lock --group image-build

ENGINE ?= $(shell command -v docker || command -v podman)
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= penstock:$(VERSION)
image:                   ## build the image by docker or podman, and its bill of materials into dist/
	@test -n "$(ENGINE)" || { echo "make image needs docker or podman; tests/image runs the same steps without."; exit 1; }
	$(ENGINE) build --tag $(IMAGE) .
	mkdir -p dist
	$(ENGINE) run --rm --entrypoint cat $(IMAGE) /opt/penstock/sbom.cdx.json > dist/penstock-$(VERSION).cdx.json

# For less than everything: make bench ROWS=relay PEERS=penstock,nginx-lua SECONDS=1 ROUNDS=1
bench: $(STAMP)          ## side by side with other gateways; see benchmarks/README.md
	$(BIN)/python -m benchmarks $(if $(ROWS),--rows $(ROWS)) $(if $(PEERS),--peers $(PEERS)) \
	  $(if $(SECONDS),--seconds $(SECONDS)) $(if $(ROUNDS),--rounds $(ROUNDS))

profile: $(STAMP)        ## benchmarks/flame.svg: where a worker's time goes
	$(BIN)/python -m benchmarks.profile $(if $(ROW),--row $(ROW))

soak: $(STAMP)
	$(BIN)/python -m pytest -m soak -n 0

include tests/charts/charts.mk

clean:
	rm -rf $(VENV) var .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache

# pip 25.1 and later reads dependency groups; an older one is lifted first.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@
