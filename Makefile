# Two commands do everything on a machine with Python 3.11, pip, make and git: make demo, make test.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test setup check lock clean

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: $(READY)

demo: setup ## grade 20 bundled submissions with the stand-in provider
	rm -rf $(VENV)/demo
	$(BIN)/gradequeue run docs/samples/submissions.jsonl --template docs/samples/prompt.md \
		--schema error_report --offline --data-dir $(VENV)/demo

test: setup ## the whole suite
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: setup ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: setup ## refresh requirements.lock (hashes for every platform, no registry address)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
