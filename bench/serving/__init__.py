"""Benchmarks of the API server: requests, watches, load."""
