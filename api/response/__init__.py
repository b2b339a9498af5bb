"""HTTP responses: encoding and representations (JSON, YAML, Table, metadata only). Never accesses
the store.
"""
