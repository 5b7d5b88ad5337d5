# make demo: the main job on real photos.  make test: all tests but the slow ones.  Both start from nothing but Python 3.11, 3.12 or 3.13.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# without --no-compile pip also compiles what is never imported: a quarter of its time
INSTALL := python -m pip --disable-pip-version-check --quiet install --no-compile
LOCKED := --no-deps --require-hashes -r requirements/lock.txt
OURSELVES := --no-deps --no-build-isolation -e .
PYTEST := python -m pytest -n logical --maxprocesses 4 --dist worksteal
RUNTIME_TESTS := -k "not network and not another_users_store" $(addprefix tests/index_store/,compliance indexing photos queries store) \
  tests/index_store/test_library.py tests/index_store/test_machine.py tests/imgsearch_cli/test_main.py tests/end_to_end/test_query.py
RAY_TESTS := tests/end_to_end/test_ray.py tests/end_to_end/test_buckets.py
VENVS := .venvs
UV_VERSION := uv==0.13.9
UV := $(VENVS)/uv/bin/uv
EXTRAS := $(foreach extra,demo train raw jxl serve preview languages remote ray dev,--extra $(extra))
RESOLVE := $(UV) pip compile setup.cfg $(EXTRAS) --quiet --no-annotate --no-header \
  --constraint requirements/torch.txt --no-emit-package torch --no-emit-package torchvision
IMGSEARCH := $(BIN)/imgsearch
DEMO_STORE := .demo/store
DATA := ../shared/data/with_sense
DATA_PRETRAIN := ../shared/data/flickr8k_pretrain
DATA_MIXED := ../shared/data/mixed_pretrain
DATA_CLASSES := ../shared/data/classes_pretrain
DATA_OTHER := ../shared/data/coco_val
DATA_LABELS := ../shared/data/by_eye/labels.tsv

.PHONY: demo test test-slow test-ray test-kills test-runtime test-latest test-lowest fuzz check bench bench-scale docs wheel weights study lock clean

demo: $(VENV)/.ready
	$(BIN)/python -m tests.demo_photos ./test_images
	$(IMGSEARCH) index ./test_images --store $(DEMO_STORE)
	$(IMGSEARCH) query "a cat" --store $(DEMO_STORE)
	$(IMGSEARCH) query "a cup on a saucer" --store $(DEMO_STORE)
	$(IMGSEARCH) query "galaxies" --store $(DEMO_STORE)
	$(IMGSEARCH) query "children playing in the park" --store $(DEMO_STORE) || test $$? -eq 3

test: $(VENV)/.ready
	$(BIN)/$(PYTEST) -m "not slow"

test-slow: $(VENV)/.ready
	$(BIN)/$(PYTEST) -m "slow and not ray"

# two Ray nodes and a Chroma server: on two cores Ray needs them to itself, so one test after the other
test-ray: $(VENV)/.ready
	$(BIN)/$(PYTEST) -m ray -n 0 $(RAY_TESTS)

# actor, node, driver and server killed five times each, in the middle of a run
test-kills: export IMGSEARCH_KILL_ROUNDS := 5
test-kills: $(VENV)/.ready
	$(BIN)/$(PYTEST) -m ray -n 0 $(RAY_TESTS) -k "killed_costs_nothing or gone_costs_nothing or next_run_does_the_rest or is_waited_for"

# what another Python can break without torch: indexing, queries, the policy; make test-runtime OTHER=python3.12
test-runtime: $(VENVS)/runtime/.ready
	$(VENVS)/runtime/bin/$(PYTEST) -m "not slow" $(RUNTIME_TESTS)

$(VENVS)/runtime/.ready: requirements/lock.txt setup.cfg pyproject.toml
	$(OTHER) -m venv $(@D)
	$(@D)/bin/$(INSTALL) $(LOCKED)
	$(@D)/bin/$(INSTALL) $(OURSELVES)
	touch $@

# all tests with the newest and with the oldest versions that setup.cfg allows
test-latest: RESOLUTION := highest
test-lowest: RESOLUTION := lowest-direct
test-latest test-lowest: $(UV)
	$(PYTHON) -m venv --clear $(VENVS)/$@
	$(RESOLVE) --python $(VENVS)/$@/bin/python --resolution $(RESOLUTION) --output-file $(VENVS)/$@.txt
	$(VENVS)/$@/bin/$(INSTALL) --no-deps -r $(VENVS)/$@.txt
	$(VENVS)/$@/bin/$(INSTALL) -r requirements/torch.txt
	$(VENVS)/$@/bin/$(INSTALL) $(OURSELVES)
	$(VENVS)/$@/bin/$(PYTEST)

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
	$(BIN)/python -m benchmarks.filters --photos 100000
	$(BIN)/python -m benchmarks.scale --photos 1000000
	$(BIN)/python -m benchmarks.asking --photos 100000
	$(BIN)/python -m benchmarks.fleet $(DATA)/train_images
	$(BIN)/python -m benchmarks.buckets
	$(BIN)/python -m benchmarks.extras $(DATA)/test_images

docs: $(VENV)/.ready
	$(BIN)/python -m tests.demo_photos ./test_images
	$(IMGSEARCH) --quiet index ./test_images --store $(DEMO_STORE)
	$(BIN)/python docs/screenshot.py $(DEMO_STORE) "a cup on a saucer"

study: $(VENV)/.ready
	$(IMGSEARCH) study $(DATA) --report reports/study --docs docs/relevance.md

# everything that ships, from the base weights and the data: about five hours on two cores, each step goes on after a stop;
# index_store/weights/*/card.json say how long each took. TEACHER is a folder or a cached name of the hub
SETS := --validation $(DATA_OTHER) --leave-out $(DATA_LABELS) --without-names web --without-names openstax --family lite2-minilm
KEPT = --cache .weights/cache --checkpoints .weights/checkpoints/$(notdir $(@D)) --output $(@D)
TEACHER := all-mpnet-base-v2

weights: .weights/joint-texts/card.json
	cp $(addprefix $(<D)/,photo.onnx text.onnx tokenizer.json card.json) index_store/weights/encoder/
	$(IMGSEARCH) train minors $(DATA_PRETRAIN):3:0.05 $(DATA_MIXED):1:0.1 $(DATA_CLASSES):1:0 --labels $(DATA_LABELS) \
	  --validation $(DATA_OTHER) --evaluate $(DATA) --output index_store/weights/minors
	$(IMGSEARCH) train texts $(DATA_PRETRAIN) $(DATA_MIXED) --output index_store/weights/texts
	$(IMGSEARCH) train reranker $(DATA) --output index_store/weights/reranker --short $(DATA_PRETRAIN):1:0.05 \
	  --short $(DATA_MIXED):0.5:0.1 --short $(DATA_CLASSES):0.2:0 --measure $(DATA_OTHER)
	$(IMGSEARCH) train languages $(DATA_PRETRAIN) $(DATA_MIXED) $(DATA_CLASSES) --output index_store/weights/languages

.weights/flickr8k/card.json: | $(VENV)/.ready
	$(IMGSEARCH) train encoder $(DATA_PRETRAIN) --start bases --no-policy --family lite2-minilm $(KEPT)

.weights/texts/card.json: | .weights/flickr8k/card.json
	$(IMGSEARCH) train text-tower $(DATA_PRETRAIN):1:0.05 $(DATA_MIXED):1:0.1 $(SETS) --start $(dir $|) --epochs 5 $(KEPT)

.weights/joint/card.json: | .weights/texts/card.json
	$(IMGSEARCH) train encoder $(DATA_PRETRAIN):2:0.05 $(DATA_MIXED):2:0.1 $(DATA_CLASSES):1:0 $(SETS) --start $(dir $|) --release \
	  --epochs 3 --views 4 $(KEPT)

.weights/joint-texts/card.json: | .weights/joint/card.json
	$(IMGSEARCH) train text-tower $(DATA_PRETRAIN):1:0.05 $(DATA_MIXED):1:0.1 $(DATA_CLASSES):0.3:0 $(SETS) --start $(dir $|) \
	  --teacher $(TEACHER) --epochs 3 --most-captions 3 $(KEPT)

wheel: $(VENV)/.ready
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(VENVS) build dist test_images .demo *.egg-info

# -- the environment -------------------------------------------------------------------------------------------------

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# what the lock names and nothing else: so --no-deps, and no build environment that is fetched beside it
$(VENV)/.ready: requirements/lock.txt requirements/torch.txt setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/$(INSTALL) $(LOCKED)
	$(BIN)/$(INSTALL) -r requirements/torch.txt
	$(BIN)/$(INSTALL) $(OURSELVES)
	touch $@

# the newest versions that setup.cfg allows, for Python 3.11 to 3.13 on Linux and macOS; the index's address stays out
lock: $(UV)
	$(RESOLVE) --universal --python-version 3.11 --fork-strategy fewest --upgrade --generate-hashes \
	  --annotate --header --custom-compile-command "make lock" --output-file requirements/lock.txt

$(UV): Makefile
	$(PYTHON) -m venv $(VENVS)/uv
	$(VENVS)/uv/bin/$(INSTALL) $(UV_VERSION)
	touch $@
