"""HTTP responses: encoding, representations (JSON, YAML, Table, metadata only). Never touches the
store.
"""
