"""Decides when tags are checked and jobs are published again: ticks of beat, and the reaper.

Knows due rows, leases and rates. Knows nothing of manifests, and never contacts a registry.
"""
