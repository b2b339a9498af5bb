"""Runs jobs: imports and scheduled checks.

Knows the models, the store, the job queue and, through `worker.registry`, remote registries. Knows
nothing of the API server and the command line.
"""
