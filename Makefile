# make demo: the main job on real photos.  make test: all tests.  Both start from nothing but Python 3.11, 3.12 or 3.13.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
IMGSEARCH := $(BIN)/imgsearch
DEMO_STORE := .demo/store
UV_VERSION := uv==0.13.9
UV_VENV := .lock
UV := $(UV_VENV)/bin/uv
EXTRAS := --extra demo --extra train --extra raw --extra dev
DATA := ../shared/data/with_sense
DATA_PRETRAIN := ../shared/data/flickr8k_pretrain

.PHONY: demo test fuzz check bench bench-scale docs wheel weights study lock clean

demo: $(VENV)/.ready
	$(BIN)/python -m tests.demo_photos ./test_images
	$(IMGSEARCH) index ./test_images --store $(DEMO_STORE)
	$(IMGSEARCH) query "a cat" -k 3 --min-score 0 --store $(DEMO_STORE)
	$(IMGSEARCH) query "a cup on a saucer" -k 3 --min-score 0 --store $(DEMO_STORE)
	$(IMGSEARCH) query "a rocket launch" -k 3 --min-score 0 --store $(DEMO_STORE)
	$(IMGSEARCH) query "children playing in the park" --store $(DEMO_STORE) || test $$? -eq 3

test: $(VENV)/.ready
	$(BIN)/python -m pytest

# hostile texts, photos, stores, servers, models, inputs; a case that fails is kept in .fuzz/ with the way to try it again
fuzz: $(VENV)/.ready
	$(BIN)/python -m tests.fuzz --seconds 60

check: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks

bench-scale: $(VENV)/.ready
	$(BIN)/python -m benchmarks.scale --photos 100000
	$(BIN)/python -m benchmarks.scale --photos 1000000

docs: $(VENV)/.ready
	$(BIN)/python -m tests.demo_photos ./test_images
	$(IMGSEARCH) --quiet index ./test_images --store $(DEMO_STORE)
	$(BIN)/python docs/screenshot.py $(DEMO_STORE) "a cup on a saucer"

study: $(VENV)/.ready
	$(IMGSEARCH) study $(DATA) --report reports/study --docs docs/relevance.md

# everything that ships, from the base weights and the data; index_store/weights/*/card.json say how long it took
weights: $(VENV)/.ready
	$(IMGSEARCH) train encoder $(DATA_PRETRAIN) --start bases --output index_store/weights/encoder
	$(IMGSEARCH) train minors $(DATA_PRETRAIN) --output index_store/weights/minors --evaluate $(DATA)
	$(IMGSEARCH) train reranker $(DATA) --output index_store/weights/reranker

wheel: $(VENV)/.ready
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(UV_VENV) build dist test_images .demo *.egg-info

# -- the environment -------------------------------------------------------------------------------------------------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# what the lock names and nothing else: so --no-deps, and no build environment that is fetched beside it
$(VENV)/.ready: requirements/lock.txt requirements/torch.txt setup.cfg pyproject.toml | $(BIN)/python
	$(PIP) install --no-deps --require-hashes -r requirements/lock.txt
	$(PIP) install -r requirements/torch.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

# the newest versions that setup.cfg allows, for Python 3.11 to 3.13 on Linux and macOS; the index's address stays out
lock:
	$(PYTHON) -m venv $(UV_VENV)
	$(UV_VENV)/bin/python -m pip --disable-pip-version-check --quiet install $(UV_VERSION)
	$(UV) pip compile setup.cfg $(EXTRAS) --universal --python-version 3.11 --fork-strategy fewest --upgrade --quiet \
	  --generate-hashes --no-emit-package torch --no-emit-package torchvision \
	  --custom-compile-command "make lock" --output-file requirements/lock.txt
