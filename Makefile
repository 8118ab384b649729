# Two commands do everything on a machine with Python 3.11, pip, make and git: make demo, make test.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
unexport PYTHONDONTWRITEBYTECODE # each of a few hundred test processes would compile every module again

.PHONY: demo test test-again setup check docs lock audit install-check clean

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@# uv installs and compiles on every core, in a quarter of pip's time; pip where uv does not find what pip finds
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock >$(VENV)/uv.lock
	$(PIP) --no-deps --require-hashes -r $(VENV)/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock || \
		$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	touch $@

setup: $(READY)

demo: setup ## grade 20 bundled submissions with the stand-in provider
	rm -rf $(VENV)/demo
	$(BIN)/gradequeue run docs/samples/submissions.jsonl --template docs/samples/prompt.md \
		--schema error_report --offline --data-dir $(VENV)/demo

test: setup ## the whole suite
	@# in a new checkout, one process compiles what six would compile at the same time
	@test -d tests/__pycache__ || $(BIN)/python -m pytest --collect-only -qq >/dev/null || true
	@# six at a time, on two cores too: tests of processes wait half of the time; those files come first, so none is last
	$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder

test-again: setup ## what failed in the last `make test`, one at a time: does it fail without the others' load too?
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none

check: setup ## format, lint, types, import contracts, generated pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/python -m ops.gate.docs --check

docs: setup ## write the generated pages: settings, index of decisions
	$(BIN)/python -m ops.gate.docs

COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-header --quiet

lock: setup ## refresh both locks (hashes for every platform, no registry address): all extras, and what the images need
	$(COMPILE) --all-extras -o requirements.lock
	$(COMPILE) --extra dashboard --extra uvloop --no-annotate --constraint requirements.lock -o ops/deploy/image.lock

install-check: setup ## the bare wheel grades; the images' lock starts what the images start
	$(BIN)/python ops/gate/install_check.py

audit: setup ## yanked releases and known advisories in both locks (ADVISORIES=all.zip: from a download); not part of the gate
	$(BIN)/python -m ops.gate.audit $(if $(ADVISORIES),--database $(ADVISORIES)) requirements.lock ops/deploy/image.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
