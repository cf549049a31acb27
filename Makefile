# Every target makes .venv and installs what it needs there, once: a second call
# installs nothing until pyproject.toml or constraints.txt changes.
#
#   PYTHON  the Python (3.11 or newer) that .venv is made from
#   ARGS    more options for `make test` (pytest) and `make bench`

PYTHON ?= python3
ARGS ?=

VENV := .venv
NEWEST := .venv-newest
BIN := $(VENV)/bin
# What holds the versions that are installed; nothing for the newest.
PIN := -c constraints.txt
UV := $(shell command -v uv 2>/dev/null)

# The tests compile much and compute little: with XLA's older generator of CPU code
# they take half as long. What users run is compiled by the newer one, as are the
# notebooks of `make docs` and the fit on eight devices in the tests.
TEST_XLA_FLAGS := --xla_cpu_use_fusion_emitters=false

# What each target installs, besides the run-time dependencies.
ADAPTERS := arch,numpyro,skfolio,sklearn
EXTRAS_demo := plot
EXTRAS_test := dev,$(ADAPTERS)
EXTRAS_docs := docs,plot,dask,$(ADAPTERS)
EXTRAS_bench := bench,sklearn

ifdef UV
make_venv = "$(UV)" venv --quiet --seed --python "$(PYTHON)" $(VENV)
pip_install = "$(UV)" pip install --quiet --python $(BIN)/python
else
make_venv = "$(PYTHON)" -m venv $(VENV)
pip_install = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test lint docs bench newest clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.stamp-demo ## Fit the shipped stock returns and draw demo.png
	@$(BIN)/normix fit --plot demo.png
	@echo "The picture is in $(CURDIR)/demo.png"

test: $(VENV)/.stamp-test ## Run the tests (ARGS="-k bessel" for some of them)
	XLA_FLAGS="$(TEST_XLA_FLAGS) $$XLA_FLAGS" $(BIN)/python -m pytest -n 2 -q $(ARGS)

lint: $(VENV)/.stamp-test ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: $(VENV)/.stamp-docs ## Run the notebooks and build the pages
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html
	@echo "The pages start at $(CURDIR)/docs/_build/html/index.html"

bench: $(VENV)/.stamp-bench ## Run the benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

# An environment of its own, made anew each time: without constraints.txt.
newest: ## Run the tests of the adapters with the newest versions
	@rm -rf $(NEWEST)
	@$(MAKE) --no-print-directory VENV=$(NEWEST) PIN= $(NEWEST)/.stamp-test
	@$(NEWEST)/bin/python -m pip list 2>/dev/null | grep -iE \
	  '^(arch|jax|numpy|numpyro|pandas|scikit-learn|scipy|skfolio) '
	XLA_FLAGS="$(TEST_XLA_FLAGS) $$XLA_FLAGS" $(NEWEST)/bin/python -m pytest -n 2 -q \
	  tests/adapters tests/test_pandas.py tests/test_parametrizations.py $(ARGS)

clean: ## Remove what the targets made, .venv included
	rm -rf $(VENV) $(NEWEST) build dist docs/_build demo.png
	rm -rf .pytest_cache .ruff_cache .hypothesis
	find src tests tools benchmarks docs -name __pycache__ -prune \
	  -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "No '$(PYTHON)' here. Name a Python 3.11 or newer: make PYTHON=..." >&2; \
	  exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "normix needs Python 3.11 or newer, but '$(PYTHON)' is" \
	    "$$("$(PYTHON)" -V 2>&1). Name another: make PYTHON=..." >&2; \
	  exit 1; }
	@echo "Making $(VENV) from $$("$(PYTHON)" -V 2>&1) with $(if $(UV),uv,venv and pip) ..."
	@rm -f $(VENV)/.stamp-*
	@$(make_venv) || { \
	  rm -rf $(VENV); \
	  echo "Could not make $(VENV) (Debian: apt install python3-venv)." >&2; \
	  exit 1; }

$(VENV)/.stamp-%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing normix[$(EXTRAS_$*)] into $(VENV) (about a minute the first time) ..."
	@$(pip_install) $(PIN) -e ".[$(EXTRAS_$*)]"
	@# As pip does for packages that it copies: half of what `import normix` takes.
	@$(BIN)/python -m compileall -q src
	@touch $@
