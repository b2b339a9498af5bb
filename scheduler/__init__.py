"""Decides when: knows due rows, leases and budgets, and cannot spell *manifest*."""
