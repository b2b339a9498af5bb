"""Wire types of every kind as frozen pydantic models. They hold shapes only, no rules."""
