"""Scheduled checks: batches of due rows, one HEAD per source, imports of what changed."""
