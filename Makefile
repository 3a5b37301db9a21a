# The verbs of this repository. `make book` and `make test` need Python 3.11 or newer, make and git; nothing else.
PYTHON ?= python3
SCALE ?= laptop
RECIPE ?=
ONLY ?=
CHAPTER ?=
ALL ?=
FOLDER ?=
NAME ?=
BIN := .venv/bin
READY := .venv/.ready
KERNELS := .venv/.kernels

.DEFAULT_GOAL := help
.PHONY: help install book zip pdf test record new models bench lint lock clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 10

# pip would fetch 2.7 GB of CUDA libraries with PyTorch's usual wheel; on a machine without an NVIDIA GPU uv, which knows
# where the small one is, fetches that first. Where it cannot be reached, pip carries on with the usual one.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ...'; exit 1; }
	$(PYTHON) -m venv .venv
	@if [ "$$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null; then \
	  $(BIN)/pip install -q uv && UV_HTTP_TIMEOUT=20 UV_HTTP_RETRIES=1 $(BIN)/uv pip install -q --python $(BIN)/python \
	    --no-deps --torch-backend=cpu "$$(grep '^torch==' requirements.txt | cut -d' ' -f1)" 2>/dev/null || \
	  echo "PyTorch's small wheel cannot be reached; taking the usual one"; fi
	$(BIN)/pip install -q -r requirements.txt
	@touch $@

# Triton's interpreter runs the kernels for GPUs in the tests, also without one: 200 MB to fetch, 690 MB on the disk,
# which only `make test` needs. Where PyTorch's usual wheel is installed, Triton is there already.
$(KERNELS): $(READY)
	@if [ "$$(uname -sm)" = 'Linux x86_64' ] && ! $(BIN)/python -c 'import triton' 2>/dev/null; then \
	  $(BIN)/pip install -q --no-deps triton==3.7.1 || echo 'Triton cannot be fetched: tests of kernels are skipped'; fi
	@touch $@

install: $(READY)  ## make .venv with everything in it; every verb below does so first where it is not there
	@echo 'Ready: . $(BIN)/activate'

book: $(READY)  ## run every chapter here, or CHAPTER=03 alone, and build the book of these runs into _build/ (SCALE=laptop)
	@$(BIN)/python -m relusparsity.book.build book --scale $(SCALE) $(if $(CHAPTER),--chapter $(CHAPTER))

zip: $(READY)  ## the committed book as one file that opens anywhere without a network, in _build/
	@$(BIN)/python -m relusparsity.book.offline zip

pdf: $(READY)  ## the committed book to print, in _build/; needs Chromium
	@$(BIN)/python -m relusparsity.book.offline pdf

# Of one chapter: the tests in its folder and those that import it, its page run again and compared, and what is asked
# of every chapter.
OF_ALL := tests/test_book.py tests/test_experiments_scales.py tests/test_recorded.py
NN = $(if $(filter 1 2 3 4 5 6 7 8 9,$(CHAPTER)),0)$(CHAPTER)
ITS = $(or $(wildcard src/relusparsity/chapters/ch$(NN)_* book/chapters/$(NN)_*),$(error there is no chapter $(CHAPTER)))
OTHERS = $(shell grep -l '^from relusparsity\.chapters\.ch$(NN)_' tests/test_*.py)
# A process per core; a file stays in one, since its tests share what they make, and files keep their order.
WORKERS := --numprocesses=logical --maxprocesses=8 --dist=loadfile --no-loadscope-reorder
test: $(READY) $(if $(CHAPTER),,$(KERNELS))  ## all tests, and every chapter run again at scale smoke and compared; CHAPTER=03: what concerns one
	$(BIN)/pytest --nbval $(if $(CHAPTER),$(ITS) $(OTHERS) $(OF_ALL),$(WORKERS))

record: $(READY)  ## renew data/*-$(SCALE)*.nc and book/chapters/*.ipynb; CHAPTER=03: that chapter's; ONLY="NAME ...": data alone
	$(BIN)/python -m relusparsity.book.build record $(if $(CHAPTER),--chapter $(CHAPTER) )--scale $(SCALE) \
	  $(if $(RECIPE),--recipe $(RECIPE)) $(if $(ONLY),--only $(ONLY))

new: $(READY)  ## begin a chapter: CHAPTER=24 NAME=token_use_of_width writes its folder, its notebook and its line in _toc.yml
	@$(BIN)/python -m relusparsity.book.new --chapter="$(CHAPTER)" --name="$(NAME)"

models: $(READY)  ## models and data for further chapters: a list; CHAPTER=12, ONLY="NAME ..." or ALL=1 fetches
	@$(BIN)/python -m relusparsity models $(ONLY) $(if $(CHAPTER),--chapter $(CHAPTER)) $(if $(ALL),--all) \
	  $(if $(FOLDER),--folder "$(FOLDER)")

bench: $(READY)  ## measure what tracking costs; results in benchmarks/
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

lint: $(READY)  ## ruff, mypy and the order of imports, as before every commit
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache --no-logo

lock: $(READY)  ## renew requirements.txt from pyproject.toml
	$(BIN)/pip install -q uv
	printf '%s\n' \
	  '# The complete lock, for Python 3.11 to 3.13, made by `make lock` from pyproject.toml ([tool.uv]).' \
	  '# Left out: the nvidia-*, cuda-* and triton packages, which PyTorch itself asks for where its wheel needs them,' \
	  '# so that an installed CPU build (`uv pip install --torch-backend=cpu -r requirements.txt`) stays small.' > $@.txt
	$(BIN)/uv pip compile -q pyproject.toml | grep -vE '^(nvidia|cuda|triton)\b' >> $@.txt
	printf '%s\n' '-e .' >> $@.txt
	mv $@.txt requirements.txt

clean:  ## remove what was built; runs/ (trained models) and .venv/ stay
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
