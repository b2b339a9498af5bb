"""Authentication against registries: challenges, credentials, tokens. Sits on `transport`."""
