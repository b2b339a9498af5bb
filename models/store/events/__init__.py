"""Stored Kubernetes Events."""
