"""Stored images, their layers, sub-manifests and sources."""
