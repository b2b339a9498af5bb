"""Watches: the change reader, the watch cache and the encoder of watch events. Never evaluates a
kind's rules.
"""
