"""Stored namespaces, tokens, role bindings and secrets."""
