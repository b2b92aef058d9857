# Every target does its own set-up; the second run finds it done. PYTHON may name any Python from 3.10 to 3.13.
PYTHON ?= python3
PYTEST_ARGUMENTS ?=
BENCH_ARGUMENTS ?=

ENVIRONMENT := .venv/bin
ROS := $(ENVIRONMENT)/python tools/ros_environment.py

.PHONY: help demo test test-kilted bench-speed bench-train lint format docs setup clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## Run the node on the drive in assets/ and compare its answers with the ground truth; writes out/demo
	@$(PYTHON) tools/setup_environment.py demo
	@$(ROS) $(ENVIRONMENT)/python -m cast_ros.offline.harness.demo

test: ## Run all tests; PYTEST_ARGUMENTS="test/repository -k launch" runs some
	@$(PYTHON) tools/setup_environment.py test
	@$(ENVIRONMENT)/python -m pytest $(PYTEST_ARGUMENTS)

test-kilted: ## Run the robot's tests on ROS 2 Kilted as well, in an environment of their own
	@$(PYTHON) tools/setup_environment.py kilted
	@.venv-kilted/bin/python -m pytest test/cast_ros test/system $(PYTEST_ARGUMENTS)

bench-speed: ## Measure our students and what one would run instead; writes benchmarks/speed/results.*
	@$(PYTHON) tools/setup_environment.py test
	@$(PYTHON) tools/setup_environment.py peers
	@$(ENVIRONMENT)/python -m benchmarks.speed.run $(BENCH_ARGUMENTS)

lint: ## Check style and types
	@$(PYTHON) tools/setup_environment.py test
	@echo 'Checking style (ruff) ...'
	@$(ENVIRONMENT)/ruff check .
	@$(ENVIRONMENT)/ruff format --check .
	@echo 'Checking types (mypy) ...'
	@$(ENVIRONMENT)/python -m mypy

format: ## Rewrite the sources in the project's style
	@$(PYTHON) tools/setup_environment.py test
	@$(ENVIRONMENT)/ruff check --fix .
	@$(ENVIRONMENT)/ruff format .

docs: ## Write docs/parameters.md, config/perception.yaml and the rooms of docs/architecture.md
	@$(PYTHON) tools/setup_environment.py demo
	@$(ENVIRONMENT)/python -m cast_ros.nodes.parameters
	@echo 'Wrote docs/parameters.md and config/perception.yaml'
	@$(ENVIRONMENT)/python tools/rooms.py

bench-train: ## Measure the trainer: sizes, stages and one step; writes benchmarks/training/*.json and *.md
	@$(PYTHON) tools/setup_environment.py test
	@$(ENVIRONMENT)/python benchmarks/training/speed.py
	@$(ENVIRONMENT)/python benchmarks/training/stages.py
	@$(ENVIRONMENT)/python benchmarks/training/step.py

setup: ## Prepare the environment for everything, without running anything
	@$(PYTHON) tools/setup_environment.py test

clean: ## Remove everything that make has made
	rm -rf .venv .venv-kilted .venv-peers .venv-robot .cache out build install log dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find cast_ros train test tools -name __pycache__ -type d -prune -exec rm -rf {} +
