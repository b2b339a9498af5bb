"""Stored image streams, tags and their histories."""
