"""Table rows as `kubectl get` prints them. Knows columns and cells, never the store."""
