# Each target sets up .venv when it has to, and only then. Nothing asks a question.
#   make run ARGS="run depth-sigmoid --seed 3"

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# The first Python that is new enough; `make PYTHON=/path/to/python run` chooses another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
NEEDS := pyproject.toml constraints.txt

# A stamp is touched as the last act, so an interrupted install has none and is done again.
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help run test soak lint format bench bench-quick clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

run: $(RUN_STAMP)  ## start vgrad-tui; ARGS="..." goes to it
	@$(BIN)/vgrad-tui $(ARGS)

test: lint  ## lint, types, import contracts and all tests; ARGS="..." goes to pytest
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

soak: $(DEV_STAMP)  ## what is random, far more often: 30 kills of a run, 10,000 damaged records
	VGRAD_SOAK=1 $(BIN)/pytest -m soak -n auto --maxprocesses 4 --dist worksteal $(ARGS)

lint: $(DEV_STAMP)  ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV_STAMP)  ## let ruff order imports and lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV_STAMP)  ## all benchmarks, about ten minutes
	$(BIN)/python -m tests.bench $(ARGS)

bench-quick: $(DEV_STAMP)  ## the same, shortened: a minute or two, wider spread
	$(BIN)/python -m tests.bench --quick $(ARGS)

clean:  ## remove .venv and every cache
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist .venv.lock

$(RUN_STAMP): $(NEEDS)
	@$(call INSTALLED,demos,$@)

$(DEV_STAMP): $(NEEDS)
	@$(call INSTALLED,dev,$(RUN_STAMP) $@)

# Make the environment, or make it again where it is half made or too old.
define SET_UP
$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	if [ -z "$(PYTHON)" ]; then echo "vgrad-tui needs Python 3.11 or newer: install it, or name it: make PYTHON=..." >&2; exit 1; fi; \
	echo "making $(VENV) with $(PYTHON); torch is large, the first time takes some minutes"; \
	$(PYTHON) -m venv --clear $(VENV); }
endef

# Install the package with an extra, $(1), and touch the stamps, $(2). Where several `make` run at once, one does it
# and the others wait. The lock is on an open file, so it ends with this shell, however that ends.
define INSTALLED
exec 9>.venv.lock; $(or $(PYTHON),$(BIN)/python) -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)' 2>/dev/null; \
	is_old=; for need in $(NEEDS); do for stamp in $(2); do [ "$$stamp" -nt "$$need" ] || is_old=1; done; done; \
	[ -n "$$is_old" ] || exit 0; \
	{ $(SET_UP); } && $(INSTALL) -e '.[$(1)]' && touch $(2)
endef
