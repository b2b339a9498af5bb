"""Runs scheduled checks: batches of claimed rows, one HEAD for each source, imports of changes."""
