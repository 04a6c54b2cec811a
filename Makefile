# `make train` runs the main job, `make play` plays trained agents, `make test` runs the quick tests, `make check` all.
# Each sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_DIR ?= runs/quick

# Prints what pyproject.toml asks for. The project itself is never installed: scripts run from this folder.
define LIST
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*project["dependencies"], *project["optional-dependencies"]["dev"], sep="\n")
endef
export LIST

.PHONY: setup train play sweep test lint types check docs clean

setup: $(VENV)/.complete

# torch comes first, so that the other packages find the pinned version in place.
$(VENV)/.complete: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -c "$$LIST" > $(VENV)/requirements.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --requirement $(VENV)/requirements.txt
	touch $@

train: setup
	@if [ -f $(RUN_DIR)/config.yaml ]; then $(BIN)/python train.py --resume $(RUN_DIR); \
	else $(BIN)/python train.py --config quick --run_dir $(RUN_DIR); fi

play: setup
	$(BIN)/python evaluate.py results/pretrained/three_games.pt
	$(BIN)/python evaluate.py results/pretrained/ten_games.pt --episodes 3

# Ray, which sweeps run on, and Optuna, which searches ask, for sweep.py and its tests; then: .venv/bin/python sweep.py configs/sweeps/small.yaml
sweep: $(VENV)/.sweep

# The pages of docs/ as a site in site/. A broken link, a command that does not exist or a public name without docstring fails it.
docs: $(VENV)/.docs
	$(BIN)/python -m pytest tests/conformance/test_docs.py tests/conformance/test_docstrings.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open site/index.html, or with search: $(BIN)/python -m http.server --directory site"

# An optional extra of pyproject.toml.
$(VENV)/.sweep $(VENV)/.docs: $(VENV)/.%: $(VENV)/.complete
	$(BIN)/pip install --quiet --constraint constraints.txt $(shell $(PYTHON) -c 'import tomllib; print(*map(repr, tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["$*"]))')
	touch $@

# Two tests at a time, on a core each; ends with the tests that cost most.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --cpu 30

# Minutes: all but the tests marked slow.
test: sweep
	$(PYTEST) -m "not slow"

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

# Everything: lint, types, the site, the tests of `make test`, the slow ones, and more examples of the random ones.
check: lint types docs sweep
	$(PYTEST) --hypothesis-profile thorough

clean:
	rm -rf $(VENV) site
