"""The registry client: OCI distribution protocol, async. Knows no streams, rows or jobs."""
