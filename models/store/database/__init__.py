"""Engine, sessions, schema version and statement helpers. Knows no kind."""
