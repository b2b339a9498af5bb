"""Policies of registries: allow-list, mirrors, blocked and insecure hosts, health. Pure."""
