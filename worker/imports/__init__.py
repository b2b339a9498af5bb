"""Runs one import from job to commit: plan, fetch, assemble, write.

Fetches through `worker.registry` only; knows nothing of HTTP.
"""
