"""Quotas that registries report: what is left, when to send the next request, sharing by Redis.
Must not know HTTP or registry hosts.
"""
