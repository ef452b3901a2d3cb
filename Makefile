# `make docs` builds the site into build/docs, and fails on any warning.
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)

.PHONY: docs
docs:
	$(PYTHON) -m sphinx --fail-on-warning --keep-going -q -j auto -b html docs build/docs
	@echo "build/docs/index.html"
