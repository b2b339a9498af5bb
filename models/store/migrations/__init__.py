"""The migrations of the schema, step by step. Knows nothing of the models: a step never changes."""
