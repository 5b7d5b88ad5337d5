# make demo: the main job on real photos.  make test: all tests.  Both start from nothing but Python 3.11 or newer.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
IMGSEARCH := $(BIN)/imgsearch
DEMO_STORE := .demo/store
DATA := ../shared/data/with_sense
DATA_PRETRAIN := ../shared/data/flickr8k_pretrain
DATA_MIXED := ../shared/data/mixed_pretrain

.PHONY: demo test check bench bench-scale docs wheel weights study clean

demo: $(VENV)/.demo
	$(BIN)/python -m tests.demo_photos ./test_images
	$(IMGSEARCH) index ./test_images --store $(DEMO_STORE)
	$(IMGSEARCH) query "a cat" -k 3 --min-score 0 --store $(DEMO_STORE)
	$(IMGSEARCH) query "a cup on a saucer" -k 3 --min-score 0 --store $(DEMO_STORE)
	$(IMGSEARCH) query "a rocket launch" -k 3 --min-score 0 --store $(DEMO_STORE)
	$(IMGSEARCH) query "children playing in the park" --store $(DEMO_STORE) || test $$? -eq 3

test: $(VENV)/.dev
	$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

bench-scale: $(VENV)/.dev
	$(BIN)/python -m benchmarks.scale --photos 100000
	$(BIN)/python -m benchmarks.scale --photos 1000000

docs: $(VENV)/.demo
	$(BIN)/python -m tests.demo_photos ./test_images
	$(IMGSEARCH) --quiet index ./test_images --store $(DEMO_STORE)
	$(BIN)/python docs/screenshot.py $(DEMO_STORE) "a cup on a saucer"

study: $(VENV)/.dev
	$(IMGSEARCH) study $(DATA) --report reports/study --docs docs/relevance.md

# everything that ships, from the base weights and the data; index_store/weights/*/card.json say how long it took
weights: $(VENV)/.dev
	$(IMGSEARCH) train encoder $(DATA_PRETRAIN) --start bases --output index_store/weights/encoder
	$(IMGSEARCH) train minors $(DATA_PRETRAIN) --output index_store/weights/minors --evaluate $(DATA)
	$(IMGSEARCH) train texts $(DATA_PRETRAIN) $(DATA_MIXED) --output index_store/weights/texts
	$(IMGSEARCH) train reranker $(DATA) --output index_store/weights/reranker

wheel: $(VENV)/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist test_images .demo *.egg-info

# -- the environment, in two sizes -----------------------------------------------------------------------------------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: setup.cfg pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[demo]'
	touch $@

$(VENV)/.dev: setup.cfg pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[demo,train,raw,dev]'
	touch $@ $(VENV)/.demo
