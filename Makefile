# Two commands for a newcomer: `make demo` and `make test`.
PYTHON ?= python3
# Each of the many processes that tests start would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
# More than two cores: many tests wait for processes.
WORKERS ?= 3

.PHONY: demo test test-fast img2dataset consumers check docs site bench clean

$(VENV)/.installed: pyproject.toml constraints.txt $(wildcard pairmill/*/*.c)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "pairmill needs Python 3.10 or newer; set PYTHON=python3.11")'
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "installing pairmill into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install -q --disable-pip-version-check $$(grep '^torch==' constraints.txt | sed 's/+.*//')
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/pairmill demo demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# For the inner loop, under 90 s: no Ray, no browser, none that takes seconds by itself.
test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not ray and not browser and not slow"

# That engine in an environment of its own: what the package asks for clashes with ours.
PEER := .venv-img2dataset
img2dataset:
	@test -d $(PEER) || $(PYTHON) -m venv $(PEER)
	@grep -E '^(torch|torchvision|transformers|ray)==' constraints.txt > $(PEER)/limits.txt
	@$(PEER)/bin/python -m pip install -q --disable-pip-version-check -c $(PEER)/limits.txt torch
	@$(PEER)/bin/python -m pip install -q --disable-pip-version-check -c $(PEER)/limits.txt -e '.[img2dataset]' \
		pytest pytest-timeout scikit-image scikit-learn hypothesis
	$(PEER)/bin/python -m pytest tests/test_download_hosts.py -k img2dataset

consumers: $(VENV)/.installed-dev
	$(BIN)/python tests/consumers/environments.py

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/python -m pairmill.plan.documentation > docs/stages.md
	$(BIN)/python -m pairmill.plan.source_pages > docs/sources.md
	$(BIN)/python -m pairmill.plan.expression_page > docs/expressions.md
	$(BIN)/python -m pairmill.cluster.dashboard > docs/grafana.json
	$(BIN)/python -m pairmill.commands_page > docs/commands.md
	$(BIN)/python -m pairmill.terminal.stage_list > pairmill/terminal/stages.json
	$(BIN)/python tools/drawings.py docs/drawings

# The documentation as a site in build/site; a broken link ends it.
site: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/each.py
	$(BIN)/python benchmarks/rerun.py
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/families.py
	$(BIN)/python benchmarks/feeding.py

clean:
	rm -rf $(VENV) $(PEER) demo build dist
