# Short names for what is typed often; `.ci/run` is what decides.
.PHONY: install test lint types contracts envs locks structure constraints check

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
locks:
	python -m tests.envs lock
structure:
	python -m tests.support.structure
constraints:
	python -m tests.envs constraints
check:
	.ci/run
