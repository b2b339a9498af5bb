"""Benchmarks and simulations of scheduled checks."""
