# The tasks of this repository. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
EXTRAS ?= dev,offline,search,tracking
# The first Python of at least 3.10 that is found; `make setup PYTHON=python3.12` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo $$p; break; }; done)
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup train-quick test test-slow style lab docs readme bench clean

help:  ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Make .venv and install the package into it (again only when what it needs has changed)

$(READY): settings.ini setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python of at least 3.10 found. Name one: make setup PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV): this takes a few minutes the first time ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

train-quick: $(READY)  ## Train minilm on the demo data, then label three sentences
	@$(BIN)/python scripts/train_quick.py

test: $(READY)  ## Run the guards in tests/ and every notebook, with the network blocked
	@$(BIN)/python tests/run.py

test-slow: $(READY)  ## The same, with the cells marked slow (and cuda, where there is a card)
	@$(BIN)/python tests/run.py --slow

style: $(READY)  ## Report how the notebooks are written: lines a cell, definitions a cell, wide lines
	@$(BIN)/python scripts/style.py

lab: $(READY)  ## Open the notebooks in JupyterLab
	@$(BIN)/jupyter lab nbs

docs: $(READY)  ## Build the documentation: _proc/, and the site in _docs/ where Quarto is installed
	@$(BIN)/python scripts/docs.py

readme: $(READY)  ## Write README.md from nbs/index.ipynb
	@$(BIN)/python scripts/readme.py

bench: $(READY)  ## Run the comparisons and print their tables
	@$(BIN)/cockatoo bench

clean:  ## Remove what the tasks made, except .venv and runs
	@rm -rf _proc _docs nbs/nbdev.yml build dist .pytest_cache .ruff_cache
	@find . -name .venv -prune -o -name runs -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -print0 | xargs -0 rm -rf
