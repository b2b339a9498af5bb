"""HTTP requests: path, query options, selectors, content negotiation. Never accesses the store."""
