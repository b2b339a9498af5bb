"""One import from job to commit: plan, fetch, assemble, write. Uses `worker.registry`, never HTTP
itself.
"""
