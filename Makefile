# Short names for what is typed often; `.ci/run` is what decides.
.PHONY: install test lint types contracts envs matrix locks docs structure constraints check

install:
	pip install -c constraints.txt -e ".[dev]"
test:
	pytest
lint:
	ruff check . && ruff format --check .
types:
	pyright && pyright -p tests
contracts:
	lint-imports
envs:
	python -m tests.envs build
matrix:
	python -m tests.matrix
locks:
	python -m tests.envs lock
docs: structure
	python -m tests.support.supported
structure:
	python -m tests.support.structure
constraints:
	python -m tests.envs constraints
check:
	.ci/run
