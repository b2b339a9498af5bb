"""Stored schedule: due rows, claims, leases, results of checks."""
