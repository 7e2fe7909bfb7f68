# Each target sets up what it needs. PYTHON chooses the interpreter that .venv is made with (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
export TOKENIZERS_PARALLELISM := false
# Tests run in so many processes side by side, each with one thread.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist loadscope

.PHONY: run test slow check bench bench-train bench-score bench-prepare bench-report validate calibrate clean

run: .venv/installed
	$(BIN)/harness run --strategies kl,ewc,replay

test: .venv/installed-test
	$(PYTEST)

slow: .venv/installed-test
	$(PYTEST) -m slow --no-loadscope-reorder

check: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(PYTEST)

# The orderings of docs/validation.md; hours on a CPU, goes on from where it was.
FOLDER ?= runs/validate
validate: .venv/installed-test
	$(BIN)/python benchmarks/validate.py $(FOLDER)

# How often the page would be wrong, on simulated runs: docs/calibration.md; a quarter of an hour on two cores.
calibrate: .venv/installed-test
	$(BIN)/python benchmarks/calibrate.py docs/calibration.md

bench: .venv/installed-test
	$(BIN)/python benchmarks/command.py --run

# The loop beside transformers' Trainer and a bare loop: docs/training.md.
bench-train: .venv/installed-test
	$(BIN)/python benchmarks/train.py

# Scoring beside lm-eval's HFLM, on local files of its tasks: docs/scoring.md.
bench-score: .venv/installed-test
	$(BIN)/python benchmarks/score.py $(DATA) $(TOKENIZER)

# `harness prepare` on 100 MB of text made out of two files: docs/text.md.
bench-prepare: .venv/installed-test
	$(BIN)/python benchmarks/prepare.py $(MEDICAL) $(CODE)

# The page of 10 arms, 3 seeds, 20 tasks and 100,000 items: docs/page.md.
bench-report: .venv/installed-test
	$(BIN)/python benchmarks/report.py

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; type make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf .venv
