"""OpenAPI documents, by which `kubectl` validates, merges and explains. Knows types, not values."""
