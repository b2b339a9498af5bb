"""What a worker process reports: metrics endpoint, collectors, registry status."""
