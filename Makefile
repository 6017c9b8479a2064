# One environment for everything: exact versions with hashes, byte-compiled because Ray starts many processes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test test-slow check lock clean

help:
	@echo "make demo     the whole suite on rendered images, ends in a report (about 5 minutes after installation)"
	@echo "make test     the tests that take less than half a minute each"
	@echo "make test-slow  the others: the walkthrough, the demo, the search, a detector, stopped workers, two ranks"
	@echo "make check    ruff, mypy --strict, import directions"
	@echo "make lock     resolve requirements.lock again (needs uv)"

$(STAMP): requirements.lock pyproject.toml
	@echo "installing into $(VENV): about 6 GB, 2 to 5 minutes"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "agan needs Python 3.11 or newer")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m compileall -qq -j 2 $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])') || true  # some packages carry files for newer Pythons
	@touch $@

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/agan demo

test: $(STAMP)
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock:
	uv pip compile pyproject.toml --extra dev --generate-hashes --no-annotate --no-header --python-version 3.11 -o requirements.lock

clean:
	rm -rf $(VENV)
