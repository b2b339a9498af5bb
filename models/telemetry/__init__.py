"""Metrics, their labels, and logging of every process."""
