"""Benchmarks: `python -m bench`. They measure the product from outside; no package imports them."""
