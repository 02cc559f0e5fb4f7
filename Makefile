# Needs Python >= 3.11 with venv and pip, and make. Each target is sufficient on its own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo factory-demo test lint check allure allure2 clean

$(VENV)/.run: requirements/run.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/run.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.lock
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.lock
	touch $@

# The main job, offline: the demo target that gives way, in Japanese and English. Its failing cases are the expected result
# (pytest's exit code 1); anything else is an error.
demo: $(VENV)/.run
	@$(BIN)/python -m pytest --model demo/eroding --lang both -n 2 -q --tb=no --no-summary --alluredir allure-results --clean-alluredir; \
	code=$$?; if [ $$code -ne 1 ]; then echo "demo: expected pytest's exit code 1, got $$code"; exit 1; fi; \
	echo "demo: the target gave way as its name says; open the report named above in a browser"

# The benchmark factory, offline, with scripted models: two guidelines from requests over strategies to a test set, and a run over it. The target gives way, so pytest's 1 is expected.
FACTORY := reports/factory-demo
factory-demo: $(VENV)/.run
	@rm -rf $(FACTORY)
	$(BIN)/jmedethic generate questions --out $(FACTORY) --generator demo/generator-a --generator demo/generator-b --guideline A01 --guideline B11
	$(BIN)/jmedethic generate filter --out $(FACTORY) --judge demo/judge-a --model demo/filter-a --model demo/filter-b --model demo/filter-c --model demo/filter-d --model demo/filter-e
	$(BIN)/jmedethic generate strategies --out $(FACTORY) --attacker demo/attacker --target demo/filter-d --scorer demo/scorer --summarizer demo/summarizer
	$(BIN)/jmedethic generate conversations --out $(FACTORY) --strategies $(FACTORY)/strategies.yaml --agent demo/agent-a --agent demo/agent-b
	$(BIN)/jmedethic generate testset --out $(FACTORY) --per-cell 2
	@$(BIN)/python -m pytest --cases $(FACTORY)/testset.jsonl --strategies $(FACTORY)/strategies.yaml --model demo/eroding -n 2 -q --tb=no --no-summary; \
	code=$$?; if [ $$code -ne 1 ]; then echo "factory-demo: expected pytest's exit code 1, got $$code"; exit 1; fi

test: $(VENV)/.dev
	$(BIN)/python -m pytest tests -n 3 -q

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check jmedethic_plugin
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/jmedethic lint

check: test lint

# Needs node: renders the Allure results of the last run by Allure 3, with the history of earlier ones, and takes the analytics call out.
allure:
	npx --yes allure@3.18.0 awesome --config allure-results/allurerc.json --history-path allure-history.jsonl --single-file --output allure-report allure-results
	$(PYTHON) jmedethic_plugin/reporting/allure_html.py allure-report

# The same by Allure 2; needs Java besides. Only the folder form keeps the history, only the single file opens by a double click: both are made.
allure2:
	if [ -d allure2-folder/history ]; then cp -R allure2-folder/history allure-results/; fi
	npx --yes allure-commandline@2.46.1 generate --clean --output allure2-folder allure-results
	npx --yes allure-commandline@2.46.1 generate --clean --single-file --output allure2-report allure-results
	$(PYTHON) jmedethic_plugin/reporting/allure_html.py allure2-folder
	$(PYTHON) jmedethic_plugin/reporting/allure_html.py allure2-report

clean:
	rm -rf $(VENV) allure-results allure-report allure2-folder allure2-report allure-history.jsonl
