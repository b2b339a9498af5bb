"""Stored Registry objects and the status that workers report."""
