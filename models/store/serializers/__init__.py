"""SQL that prints stored streams and tags as JSON text, for reads that skip pydantic."""
