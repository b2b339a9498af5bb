"""How the schema came to be, step by step. Knows nothing of the models: a step never changes."""
