"""The only place that talks to the database: resources in, resources out. Knows no HTTP."""
