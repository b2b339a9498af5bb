"""`make demo`: runs tagstream commands against a local docker-registry."""
