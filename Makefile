# One environment for everything: exact versions with hashes, byte-compiled because Ray starts many processes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SITE := $(VENV)/lib/python3*/site-packages

.PHONY: help install demo test test-slow check lock clean

help:
	@echo "make demo     the whole suite on rendered images, ends in a report (about 4 minutes after installation)"
	@echo "make test     the tests that take less than half a minute each"
	@echo "make test-slow  the others: the walkthrough, the demo, the search, a detector, stopped workers, two ranks"
	@echo "make check    ruff, mypy --strict, import directions"
	@echo "make lock     resolve requirements.lock again (needs uv)"

# pip is doubly quiet: it prints errors, but no warnings, which are mostly about the settings of a mirror. Compiling may
# fail, because some packages carry files for newer Pythons.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "agan needs Python 3.11 or newer")'
	@echo "installing into $(VENV): about 6 GB, 2 to 5 minutes"
	@started=$$(date +%s) && \
	$(PYTHON) -m venv --clear $(VENV) && \
	$(BIN)/python -m pip install -qq --require-hashes -r requirements.lock && \
	$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable . && \
	{ PYTHONDONTWRITEBYTECODE= $(BIN)/python -m compileall -qq -j 2 $(SITE) || true; } && \
	echo "installed in $$(($$(date +%s) - started)) seconds"
	@touch $@

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/agan demo

test: $(STAMP)
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock:
	uv pip compile pyproject.toml --extra dev --extra mask2former --extra tsne --generate-hashes --no-annotate --no-header --python-version 3.11 -o requirements.lock

clean:
	rm -rf $(VENV)
