"""Measurements: run each module by itself, `python -m benchmarks.fold`; `make bench` runs them all."""
