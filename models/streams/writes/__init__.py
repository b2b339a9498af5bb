"""Validation, defaults, quota and generations of stream writes. Pure."""
