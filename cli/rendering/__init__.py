"""Command output: tables, documents, reports, formatting. Prints what it is given and fetches
nothing.
"""
