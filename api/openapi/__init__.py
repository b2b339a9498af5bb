"""OpenAPI for `kubectl`: what it validates, merges and explains with. Knows shapes, no values."""
