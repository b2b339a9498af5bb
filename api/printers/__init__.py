"""Printers: the Table rows of `kubectl get`. Know columns and cells, never the store."""
