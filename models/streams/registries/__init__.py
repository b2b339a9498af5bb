"""Operator policy for registries: allow-list, mirrors, blocked and insecure hosts, health. Pure."""
