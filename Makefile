# Two commands for a start: `make demo` and `make test`. Both make the environment they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
LOCK := requirements-dev.lock
VERSIONS := $(VENV)/versions.txt

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

.PHONY: demo test lint slow bench growth lock audit clean

demo: $(RUN_STAMP)
	$(BIN)/ssal train glyphs

# Two processes of one thread each are faster than one of two threads.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

slow: $(DEV_STAMP)
	$(BIN)/python -m pytest -m slow

# For a machine that does nothing else; prints a line for each ratio, writes benchmarks.md.
bench: $(DEV_STAMP)
	$(BIN)/python benchmarks/run_all.py

# Likewise; draws how costs grow, see docs/performance.md.
growth: $(DEV_STAMP)
	$(BIN)/python benchmarks/growth.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# With digests, pip would refuse to install the source in place.
$(VERSIONS): $(BIN)/python $(LOCK)
	sed -n 's/ --hash=.*//p' $(LOCK) > $@

$(RUN_STAMP): $(BIN)/python pyproject.toml $(VERSIONS)
	$(BIN)/python -m pip install --quiet --constraint $(VERSIONS) --editable .
	touch $@

# The digests are those of the files for one Python on one platform; elsewhere, the same versions.
# Older pips trip over extras where digests are required: nothing is resolved, and `pip check` tells gaps.
$(DEV_STAMP): $(BIN)/python pyproject.toml $(VERSIONS)
	if $(BIN)/python tools/lock.py --fits; then \
		$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement $(LOCK) && \
		$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . && \
		$(BIN)/python -m pip check; \
	else \
		$(BIN)/python -m pip install --quiet --constraint $(VERSIONS) --editable '.[dev]'; \
	fi
	touch $@ $(RUN_STAMP)

# UPGRADE=--upgrade lets go of the present versions.
lock: $(BIN)/python
	$(BIN)/python tools/lock.py $(UPGRADE)

audit: $(DEV_STAMP)
	$(BIN)/python tools/audit.py

clean:
	rm -rf $(VENV)
