"""The distribution protocol over httpx, async. Has never heard of streams, rows or jobs."""
