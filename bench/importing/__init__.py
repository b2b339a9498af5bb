"""Benchmarks of imports, the registry client and the store."""
