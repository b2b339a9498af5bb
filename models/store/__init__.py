"""The only package that talks to the database: resources in, resources out. Knows no HTTP."""
