"""Limits per registry host: concurrency, fair queueing, rate limits, quota, circuit breaker,
cooldown. Knows no HTTP and no credentials' contents.
"""
