"""Benchmarks: `python -m bench`. Measures the product from outside; nothing imports it."""
