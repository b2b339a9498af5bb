"""Authentication against registries: challenges, credentials, tokens. Built on `transport`."""
