# What a person types. `make` alone prints the targets; every target works on a fresh clone, as root or not.

PYTHON ?= python3
BIN := .venv/bin
PEERS ?= nginx
READY := .venv/.ready
STATIC := .local/static/.ready
CORE := tests/orchestrators/core tests/routing/core
APART := tests/browser tests/chaos
PINS := --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --no-strip-extras \
	--no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade) --quiet

.PHONY: help setup demo test test-all lint checks unit core long fuzz chaos bench screenshots microbench postgres serve probe migrate fmt pins
.DEFAULT_GOAL := help

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: $(STATIC) ## .venv with everything to run, develop and test; static files in .local/static

demo: setup ## the product in one command, with simulated orchestrators (ONCE=1: check itself and end)
	$(BIN)/python manage.py demo $(if $(filter-out 0,$(ONCE)),--once)

serve: migrate ## the gateway under gunicorn, as in production
	exec $(BIN)/gunicorn -c python:byocgw.gunicorn byocgw.asgi:application

probe: migrate ## ask every orchestrator how it is, once (ARGS=--loop: on and on)
	$(BIN)/python manage.py probe_orchestrators $(ARGS)

migrate: setup ## bring the database up to date
	$(BIN)/python manage.py migrate --verbosity 0

test: lint checks unit core ## everything that is quick: lint, types, floors, checks, tests (5 minutes)

test-all: test long postgres ## the long tests too, and on PostgreSQL all that touch the database (20 minutes)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

checks: export DATABASE_URL = sqlite://:memory:
checks: setup
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check
	BYOCGW_HTTPS=true SECRET_KEY="$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
		$(BIN)/python manage.py check --deploy --fail-level WARNING

unit: setup
	$(BIN)/pytest -n 2 $(CORE:%=--ignore %)

core: setup ## the pure core alone, which its own tests must cover whole
	$(BIN)/pytest -n 2 $(CORE) --cov --cov-report=term-missing:skip-covered -q

long: setup  # browsers beside chaos: the one is at work while the other waits
	$(BIN)/pytest -m long -n 2 --dist loadfile $(APART)
	$(BIN)/pytest -m long $(APART:%=--ignore %)

fuzz: setup ## 2,000 calls made from the client API's contract: nothing undocumented, no 500 (4 minutes)
	FUZZ=2000 $(BIN)/pytest -m long tests/clients/test_contract.py

soak: setup ## mixed traffic with faults: does anything grow? (MINUTES=10)
	$(BIN)/python -m tests.chaos.soak $(MINUTES)

chaos: setup ## kill, lock, fill up, restart: what it must stand, in real processes and at length (10 minutes)
	CHAOS=long $(BIN)/pytest -m long tests/chaos tests/routing/journal
	CHAOS=long tests/support/postgres.sh $(BIN)/pytest -m long tests/routing/journal

bench: setup ## speed and memory beside PEERS="nginx litellm portkey", judged by the targets (10 minutes; QUICK=1)
	$(BIN)/python -m tests.benchmarks.bench --peers "$(PEERS)" $(if $(filter-out 0,$(QUICK)),--quick)

screenshots: setup ## the console's screens as pictures in docs/screens (needs Chromium; a minute)
	$(BIN)/python -m tests.browser.screenshots

microbench: setup ## the parts of one request, each alone
	$(BIN)/pytest tests/benchmarks/micro.py -q --benchmark-columns=min,median,iqr,rounds

postgres: setup
	tests/support/postgres.sh $(BIN)/pytest -n 2

fmt: setup ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pins: setup ## requirements*.in -> requirements*.txt, with hashes (UPGRADE=1: newest allowed)
	for name in requirements requirements-dev requirements-demo requirements-postgres; do \
		$(BIN)/uv pip compile $(PINS) $$name.in -o $$name.txt || exit 1; \
	done

# PostgreSQL's driver is optional: without a wheel for this machine everything else still works.
$(READY): $(wildcard requirements*.txt)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "byocgw needs Python 3.11 or newer as $(PYTHON); another one: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes \
		-r requirements.txt -r requirements-dev.txt -r requirements-demo.txt
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-postgres.txt || \
		echo "No PostgreSQL driver for this machine: SQLite only."
	touch $@

$(STATIC): $(READY) $(shell find byocgw orchestrators routing -path '*/static/*' -type f)
	$(BIN)/python manage.py collectstatic --noinput --verbosity 0
	touch $@
