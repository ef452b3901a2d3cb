"""Wengert against JAX, in one run on one machine: `python -m benchmarks --help`."""
