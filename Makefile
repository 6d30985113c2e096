# From a bare checkout with Python and make: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
# uv does not read pip's settings, so hand over where pip looks for wheels.
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null))
ARGS ?=

# Tests whose outcome can depend on the versions of transformers and torch or on optimum-habana.
GAUDI_TESTS = tests/device tests/cli $(addprefix tests/unit/,devices inference models training workflows) \
  $(patsubst %,--ignore=tests/cli/test_%.py,bad_paths beam_commands closed_places docs full_disk help lm_command plugins streams)

.PHONY: help setup setup-gaudi demo test test-slow test-gaudi docs clean

help:
	@echo 'make demo        train a small recogniser from nothing and print its word error rate'
	@echo 'make test        format, lint, types, import contracts, docs and quick tests'
	@echo 'make test-slow   the slow tests'
	@echo 'make test-gaudi  tests of models, training, devices and commands, and of the Gaudi stand-in, with optimum-habana'
	@echo 'make setup       only create .venv; make setup-gaudi: only .venv-gaudi'
	@echo 'make docs        write docs/commands.md, recipes.md and old-commands.md anew'

setup: .venv/.done
setup-gaudi: .venv-gaudi/.done

.venv/.done: pyproject.toml constraints.txt scripts/make-venv
	PYTHON=$(PYTHON) scripts/make-venv .venv constraints.txt '.[demo,dev]'
	@touch $@

.venv-gaudi/.done: pyproject.toml constraints-gaudi.txt scripts/make-venv
	PYTHON=$(PYTHON) scripts/make-venv .venv-gaudi constraints-gaudi.txt '.[gaudi,demo,dev]'
	@touch $@

demo: setup
	.venv/bin/gaudi-asr finetune-ctc $(ARGS)

test: setup
	PATH="$(CURDIR)/.venv/bin:$$PATH" scripts/check

test-slow: setup
	PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python -m pytest -n 2 -m slow $(ARGS)

test-gaudi: setup-gaudi
	PATH="$(CURDIR)/.venv-gaudi/bin:$$PATH" .venv-gaudi/bin/python -m pytest -n 2 $(or $(ARGS),-m 'not slow' $(GAUDI_TESTS))
	$(if $(ARGS),,PATH="$(CURDIR)/.venv-gaudi/bin:$$PATH" .venv-gaudi/bin/python -m pytest -n 2 -m slow tests/device)

docs: setup
	.venv/bin/python scripts/write_docs.py

clean:
	rm -rf .venv .venv-gaudi build dist .mypy_cache .ruff_cache .pytest_cache
