"""Command output: tables, documents, reports, formatting. Prints its arguments and fetches nothing
on its own.
"""
