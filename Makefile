# `make help` lists the targets. Everything runs in .venv, which `make setup` builds from uv.lock.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PORT ?= 8080
WORKERS ?= 2
UV_VERSION := 0.13.9
UV := .tools/bin/uv
# A distribution builds its Python with profile-guided optimisation, version managers mostly do not: a call costs
# about a sixth less CPU on it. Hence the distribution's where it is recent enough, else the first on the PATH.
PYTHON ?= $(shell for p in /usr/bin/python3 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
PY := .venv/bin/python
export UV_PYTHON_DOWNLOADS := never
# Without bytecode every process of every start would compile the whole product anew.
unexport PYTHONDONTWRITEBYTECODE
# Behind a proxy that inspects TLS: uv reads SSL_CERT_FILE itself, the pip of an older Python only PIP_CERT.
ifdef SSL_CERT_FILE
export SSL_CERT_FILE
export PIP_CERT ?= $(SSL_CERT_FILE)
endif

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(UV):
	@test -n "$(PYTHON)" || { echo "Ordergate needs Python >= 3.11: put it on the PATH as python3, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@python3 -m venv .tools || $(PYTHON) -m venv .tools
	@.tools/bin/pip --quiet --disable-pip-version-check install uv==$(UV_VERSION)

.venv/.ready: $(UV) uv.lock pyproject.toml
	@echo "Building the locked environment in .venv: some 600 MB, once …"
	@$(UV) sync --locked --quiet --python "$(PYTHON)"
	@touch $@

.PHONY: setup
setup: .venv/.ready ## build the locked environment in .venv

.PHONY: run
run: setup ## start everything; PORT=8080 WORKERS=2 ORDERGATE_HOME=.ordergate ORDERGATE_HOST=127.0.0.1
	@exec .venv/bin/ordergate up --port $(PORT) --workers $(WORKERS)

# Most tests wait for processes, disks and clocks: three at a time keep two cores busy.
JOBS ?= 3

.PHONY: test
test: setup ## the whole suite, JOBS=3 at a time; then, one by one, the tests that promise a time
	$(PY) -m pytest -n $(JOBS) --dist worksteal -m "not timed"
	$(PY) -m pytest -m timed

.PHONY: check
check: setup ## format, lint, types, import contracts
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

.PHONY: format
format: setup ## put the code into the project's format
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

CASES ?= ../shared/cases

.PHONY: conformance
conformance: setup ## public cases against the product: CASES=folder, one line a suite
	@$(PY) -m tests.conformance $(CASES)
	@$(PY) -m tests.conformance.focus

.PHONY: stripe-shapes
stripe-shapes: setup ## every request to Stripe against Stripe's own mock, which Go builds into the user's cache
	@$(PY) -m tests.conformance.stripe_shapes

CALLS ?= 200000
SEED ?= 1

.PHONY: torture
torture: setup ## kill everything everywhere and compare the books: CALLS=200000 SEED=1
	ORDERGATE_TORTURE=full $(PY) -m pytest tests/faults tests/properties tests/scenarios/test_collection.py tests/scenarios/test_results_agreed_once.py --timeout=3600
	$(PY) -m tests.faults.storm --calls $(CALLS) --seed $(SEED)
	$(PY) -m tests.faults.stock_storm --attempts 1000000 --concurrency 1000 --kill-every-s 5
	$(PY) -m tests.contract.fuzz --count 100000 --service address
	$(PY) -m tests.contract.fuzz --count 100000 --service stock

# Schemathesis has an environment of its own: nothing of the product or of its tests needs what it brings.
.tools/fuzz/.ready: $(UV) uv.lock
	UV_PROJECT_ENVIRONMENT=.tools/fuzz $(UV) sync --locked --quiet --only-group fuzz --python "$(PYTHON)"
	@touch $@

.PHONY: fuzz
fuzz: setup .tools/fuzz/.ready ## Schemathesis against a running product, by the published contracts: SEED=1
	@$(PY) -m tests.contract.foreign_fuzz --tool .tools/fuzz/bin/schemathesis --seed $(SEED)

.PHONY: verify
verify: check test torture fuzz conformance bench ## everything that can be proved on this machine

.PHONY: openapi
openapi: setup ## write the committed contracts into openapi/
	$(PY) -m openapi.export

.PHONY: configuration
configuration: setup ## write deploy/configuration.md from the settings
	$(PY) -m deploy.configuration

URL ?=
SIGN_IN ?=

.PHONY: portal
portal: setup ## pictures of every page in build/portal, taken by Chromium from a demo of its own; or URL= SIGN_IN=link of yours
	@$(PY) -m tests.portal $(if $(URL),--url $(URL)) $(if $(SIGN_IN),--sign-in $(SIGN_IN))

# The peers that the gateway is compared with have an environment of their own.
.tools/bench/.ready: $(UV) uv.lock
	UV_PROJECT_ENVIRONMENT=.tools/bench $(UV) sync --locked --quiet --only-group bench --python "$(PYTHON)"
	@touch $@

BENCH ?=

.PHONY: bench
bench: setup .tools/bench/.ready ## speed and memory beside Envoy and nginx, with bars; BENCH=gateway for one of them
	@$(PY) -m tests.performance $(BENCH)
