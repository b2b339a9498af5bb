"""Authentication and authorization of API requests: bearer tokens, login throttling, access
reviews, the audit log. Knows who may do what, not the form of objects.
"""
