"""Limits per registry host: concurrency, fair queueing, rate limits, quota, circuit breaker,
cooldown. Must not know HTTP or the content of credentials.
"""
