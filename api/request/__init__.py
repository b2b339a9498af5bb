"""What an HTTP request asks for: path, query options, selectors, content negotiation. Never touches
the store.
"""
