"""Decides when: beat ticks, sweeps. Knows due rows and leases; cannot spell *manifest*."""

from scheduler.beat import app as app
