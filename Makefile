# The tasks of this repository. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
EXTRAS ?= dev,offline,search,tracking,onnx,serve
# The first Python of at least 3.10 that is found; `make setup PYTHON=python3.12` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && { echo $$p; break; }; done)
BIN := $(VENV)/bin
READY := $(VENV)/.ready


# What the training targets take, by the names of document 004; what is empty keeps the preset of the model type:
# make train DATASET='flickr coco' EPOCHS=5
MODEL_TYPE ?= captioner
DATASET ?= flickr
SIZE ?=
EPOCHS ?=
SAMPLE ?=
MAX_LENGTH ?=
ENCODER ?=
DECODER ?=
RUN ?=
OPTIONS ?=
PORT ?= 8866
THEME ?= light
# Of the JupyterLab extensions that are installed, only those that draw widgets go into the page of the studio.
STUDIO_EXTENSIONS = @jupyter-widgets/jupyterlab-manager @voila-dashboards/widgets-manager8
TRAIN = $(BIN)/cockatoo train --model-type $(MODEL_TYPE) --data $(DATASET) $(if $(SIZE),--size $(SIZE)) \
	$(if $(EPOCHS),--training.num-epochs $(EPOCHS)) $(if $(SAMPLE),--data.max-samples $(SAMPLE)) \
	$(if $(MAX_LENGTH),--model.max-length $(MAX_LENGTH)) $(if $(ENCODER),--model.checkpoint $(ENCODER)) \
	$(if $(DECODER),--captioner.decoder-checkpoint $(DECODER)) $(if $(RUN),--output-dir $(RUN)) $(OPTIONS)

.PHONY: help setup install check-python status train train-quick train-modern train-large train-premium train-legacy \
	train-flickr train-coco train-multi train-all list-models test test-slow style lint format lab studio shell docs readme bench \
	quantize upload-hub clean clean-all

help:  ## List the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## Make .venv and install the package into it (again only when what it needs has changed)

$(READY): settings.ini setup.py constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python of at least 3.10 found. Name one: make setup PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV): this takes a few minutes the first time ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

install: setup  ## The same as setup

check-python:  ## Show the Python that setup takes
	@test -n "$(PYTHON)" || { echo "No Python of at least 3.10 found" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; print(sys.executable, sys.version.split()[0])'

status: $(READY)  ## Show what works on this machine, the cache, and the runs
	@$(BIN)/cockatoo doctor || true
	@echo && $(BIN)/cockatoo cache
	@echo && ls -d runs/*/ 2>/dev/null || echo "no runs in runs/"

train: $(READY)  ## Train a captioner: DATASET EPOCHS SAMPLE MAX_LENGTH ENCODER DECODER SIZE RUN; or MODEL_TYPE=minilm ...
	$(TRAIN)

train-modern: SIZE = modern
train-modern: train  ## Train SigLIP 2 + OPT-350M

train-large: SIZE = modern-large
train-large: train  ## Train SigLIP-SO400M + OPT-350M

train-premium: SIZE = premium
train-premium: train  ## Train SigLIP + Phi-3

train-legacy: SIZE = legacy
train-legacy: train  ## Train ViT + DistilGPT2

train-flickr: DATASET = flickr
train-flickr: train  ## Train on Flickr30k

train-coco: DATASET = coco
train-coco: train  ## Train on COCO

train-multi: DATASET = flickr coco
train-multi: train  ## Train on Flickr30k and COCO

train-all: DATASET = all
train-all: train  ## Train on all registered data sets of captions

list-models: $(READY)  ## List the model types and sizes, with checkpoints and parameters
	@$(BIN)/cockatoo models

train-quick: $(READY)  ## Train minilm on the demo data, then label three sentences
	@$(BIN)/python scripts/train_quick.py

test: $(READY)  ## Run the guards in tests/ and every notebook, with the network blocked
	@$(BIN)/python tests/run.py

test-slow: $(READY)  ## The same, with the cells marked slow (and cuda, where there is a card)
	@$(BIN)/python tests/run.py --slow

style: $(READY)  ## Report how the notebooks are written: lines a cell, definitions a cell, wide lines
	@$(BIN)/python scripts/style.py

lint: $(READY)  ## Look for errors in the exported package, and for what the guards refuse in the notebooks
	@$(BIN)/ruff check --select F --ignore F811 cockatoo scripts
	@$(BIN)/python -m pytest -q tests/test_grid.py tests/test_notebooks.py

format: $(READY)  ## Clean the notebooks and export the package from them
	@$(BIN)/nbdev_clean
	@$(BIN)/nbdev_export

shell: $(READY)  ## Open a Python shell with the package
	@$(BIN)/python -i -c 'from cockatoo import *'

lab: $(READY)  ## Open the notebooks in JupyterLab
	@$(BIN)/jupyter lab nbs

studio: $(READY)  ## Open the studio as a page of its own, without notebooks, on this machine only: PORT THEME
	@$(BIN)/python -c 'import voila' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[app]"
	@JUPYTER_PATH=$(CURDIR)/scripts/app$(if $(JUPYTER_PATH),:$(JUPYTER_PATH)) $(BIN)/voila scripts/studio.ipynb --template=studio \
		--theme=$(THEME) --Voila.ip=127.0.0.1 --port=$(PORT) --Voila.auto_token=True \
		$(addprefix --VoilaConfiguration.extension_allowlist=,$(STUDIO_EXTENSIONS)) $(OPTIONS)

docs: $(READY)  ## Build the documentation: _proc/, and the site in _docs/ where Quarto is installed
	@$(BIN)/python scripts/docs.py

readme: $(READY)  ## Write README.md from nbs/index.ipynb
	@$(BIN)/python scripts/readme.py

bench: $(READY)  ## Run the comparisons and print their tables
	@$(BIN)/cockatoo bench

clean:  ## Remove what the tasks made, except .venv and runs
	@rm -rf _proc _docs nbs/nbdev.yml build dist .pytest_cache .ruff_cache
	@find . -name .venv -prune -o -name runs -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -print0 | xargs -0 rm -rf

clean-all: clean  ## The same, the cache and the checkpoints of runs; models and metrics stay
	@rm -rf runs/*/checkpoints
	@if test -x $(BIN)/cockatoo; then $(BIN)/cockatoo cache --clear; fi

quantize: $(READY)  ## Export a finished run as ONNX graphs with int8 weights: RUN
	$(BIN)/cockatoo export $(RUN) --quantize int8

upload-hub: $(READY)  ## Upload a model: MODEL_ID=owner/name MODEL_PATH=runs/NAME/model
	@test -n "$(MODEL_ID)" -a -d "$(MODEL_PATH)" || { echo "upload-hub needs MODEL_ID=owner/name and MODEL_PATH=runs/NAME/model" >&2; exit 2; }
	$(BIN)/hf upload $(MODEL_ID) $(MODEL_PATH)
