# `make` lists the targets. Needs Python, make and git; uv is fetched into .tools/ where it is missing.

UV := $(or $(shell command -v uv),.tools/bin/uv)
PACKAGES := {{cookiecutter.project_slug}}/packages
DIST := build/dist

# Not in the packages' own folders, which are copied into every project.
export RUFF_CACHE_DIR := $(CURDIR)/.ruff_cache

# Hundreds of processes of tests would compile the same modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo package test test-slow test-quick test-matrix test-matrix-full test-pythons test-django test-browser test-image test-container pictures reference mutants fuzz bench bench-compare bench-flame bench-guard lint format clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.synced  ## generate a project with the defaults and serve it [PORT=, LOG_LEVEL=, LIFESPAN=]
	rm -rf build/demo
	+@.venv/bin/python demo.py

package: .venv/.synced  ## build wheel and sdist of the project's own packages [DIST=]
	for name in django-serving serving-tools; do \
		.venv/bin/uv build --quiet --out-dir "$(DIST)" "$(PACKAGES)/$$name" || exit 1; \
	done

test: .venv/.synced  ## run the tests of the template
	.venv/bin/pytest

test-slow: .venv/.synced  ## run those on faults of processes and services, on packages and on updates
	.venv/bin/pytest -m "slow and not matrix and not container"

test-quick: .venv/.synced  ## run those that answer in under a minute: rules, generation, most of the package
	.venv/bin/pytest -m "quick and not slow and not matrix"

test-matrix: .venv/.synced  ## run them on the combinations of answers that matter, and on 2,000 at random
	.venv/bin/pytest -m "matrix or fuzz"

test-matrix-full: .venv/.synced  ## run them on every combination; an hour or two
	MATRIX=full .venv/bin/pytest -m matrix

# What depends on the interpreter: the standard library, and how it forks.
test-pythons: .venv/.synced  ## run those of projects, of the packages and of processes on Python 3.13 and 3.12
	for version in 3.13 3.12; do \
		found=$$(PYENV_VERSION=$$version .venv/bin/uv python find $$version) || exit 1; \
		PROJECT_PYTHON="$$found" .venv/bin/pytest -m "not matrix and not fuzz and not container" \
			tests/test_serving.py tests/template/test_project.py \
			tests/live/test_process.py tests/live/test_metrics.py tests/live/test_start.py \
			tests/live/test_telemetry.py::test_a_worker_reports_what_its_tasks_do || exit 1; \
	done

test-django: .venv/.synced  ## run Django's own tests with our handler in place of Django's
	.venv/bin/python -m tests.djangos_own

test-browser: .venv/.synced build/npm/.installed  ## run those in Debian's Chromium, with checks of accessibility and HTML
	.venv/bin/pytest -m browser

# The checker behind validator.w3.org, which needs java.
build/npm/.installed:
	npm install --silent --no-audit --no-fund --prefix build/npm vnu-jar@26
	@touch $@

test-image: .venv/.synced  ## run those on the image alone
	.venv/bin/pytest -m container tests/containers/test_container.py tests/containers/test_image_content.py

test-container: .venv/.synced  ## run them on the image and the Compose project, and hold their budgets
	.venv/bin/pytest -m container
	.venv/bin/python -m benchmarks.container

pictures: .venv/.synced  ## take and draw those in docs/images/ anew; the tests say when one is out of date
	PICTURES=write .venv/bin/pytest --numprocesses 0 -m "" tests/live/test_pictures.py tests/browser/test_pictures.py

reference: .venv/.synced  ## write the table of docs/variables.md anew, from config/settings.py; a test compares [PAGE=]
	.venv/bin/python -m tests.support.variables $(or $(PAGE),docs/variables.md)

mutants: .venv/.synced  ## plant faults in the code, and list those that no test notices [MODULES=, SAMPLE=, SEED=]
	.venv/bin/python -m tests.mutants $(MODULES) $(SAMPLE:%=--sample %) $(SEED:%=--seed %)

fuzz: .venv/.synced  ## generate from 20,000 sets of random answers, other ones each time [FUZZ_SEED=]
	FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),20000) FUZZ_SEED=$(or $(FUZZ_SEED),$(shell date +%s)) .venv/bin/pytest -m fuzz

bench: .venv/.synced  ## measure against other ways to serve Django; goes on where it was ended [ARGS=--quick]
	.venv/bin/python -m benchmarks run $(ARGS)

bench-compare: .venv/.synced  ## what changed between two runs, beyond noise [BEFORE=results.json AFTER=results.json]
	.venv/bin/python -m benchmarks compare "$(BEFORE)" "$(AFTER)"

bench-flame: .venv/.synced  ## a flame graph of a view's requests [ARGS="async --way granian-asgi"]
	.venv/bin/python -m benchmarks flame $(ARGS)

bench-guard: .venv/.synced  ## hold the floors of the ratios that count
	.venv/bin/python -m benchmarks guard

# Ruff would read the project's own pyproject.toml, which is a template, if it were given their folder.
lint: .venv/.synced  ## check style and types of the template's own code, and the packages'
	.venv/bin/ruff check . "$(PACKAGES)/django-serving" "$(PACKAGES)/serving-tools"
	.venv/bin/ruff format --check . "$(PACKAGES)/django-serving" "$(PACKAGES)/serving-tools"
	for name in django-serving serving-tools; do \
		(cd "$(PACKAGES)/$$name" && PYTHONPATH=src "$(abspath .venv/bin/lint-imports)" --no-cache --no-logo) || exit 1; \
	done
	.venv/bin/mypy

format: .venv/.synced  ## fix the style of the template's own code
	.venv/bin/ruff check --fix . "$(PACKAGES)/django-serving" "$(PACKAGES)/serving-tools"
	.venv/bin/ruff format . "$(PACKAGES)/django-serving" "$(PACKAGES)/serving-tools"

clean:  ## remove environments, caches and generated projects
	rm -rf .venv .tools build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.synced: pyproject.toml $(UV)
	@$(UV) sync --quiet --compile-bytecode || { \
		echo "no Python $$(cat .python-version): trying any other that a project may have" >&2; \
		$(UV) sync --quiet --compile-bytecode --python ">=3.12"; }
	@touch $@

# From the home folder, since .python-version may name a version that uv has yet to fetch.
.tools/bin/uv:
	cd && python3 -m venv "$(CURDIR)/.tools"
	.tools/bin/pip install --quiet --disable-pip-version-check uv
