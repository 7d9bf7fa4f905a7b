# Every target is one line over dev.py, which works without make, too.
PYTHON ?= python3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: run test test-faults test-model test-webhooks test-mutants check bench bench-growth setup lock clean help

run: ## Set up all there is to set up and serve on 127.0.0.1:$PORT (default 8000)
	@$(PYTHON) dev.py run

test: ## Run the quick test suite (ARGS="-k transfer" goes to pytest)
	@$(PYTHON) dev.py test $(ARGS)

test-faults: ## Kill, freeze and cut off processes while the whole is at work
	@$(PYTHON) dev.py test -m faults tests/faults $(ARGS)

test-model: ## Compare the service with its reference over a million operations (ARGS="--model-seeds 5")
	@$(PYTHON) dev.py test -n 0 --timeout 0 --model-operations 1000000 --model-seeds 50 tests/model $(ARGS)

test-webhooks: ## Deliver 10,000 webhooks, doubled, shuffled and forged, while workers die (ARGS="--webhook-seed 2")
	@$(PYTHON) dev.py test -m faults -n 0 --timeout 0 --webhook-deliveries 10000 tests/faults/test_webhook_workers.py $(ARGS)

check: ## Run lints, types, layers, migrations and deployment checks, as CI does
	@$(PYTHON) dev.py check

test-mutants: ## Put known faults into a copy of the code and see each caught (ARGS="m1 m16")
	@$(PYTHON) dev.py with-servers --temporary -- .venv/bin/python -m tests.mutants $(ARGS)

bench: ## Measure transfers and webhooks beside bare PostgreSQL and others (ARGS="--quick" takes five minutes)
	@$(PYTHON) dev.py with-servers --temporary -- .venv/bin/python -m benchmarks $(ARGS)

bench-growth: ## Measure an empty ledger beside one of ARGS="--entries 10000000"
	@$(PYTHON) dev.py with-servers --temporary -- .venv/bin/python -m benchmarks.growth $(ARGS)

setup: ## Create .venv with everything in it
	@$(PYTHON) dev.py setup

lock: ## Compile requirements*.txt from requirements*.in
	@$(PYTHON) dev.py lock

clean: ## Remove .venv and caches; the data in .data stays
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis staticfiles

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
