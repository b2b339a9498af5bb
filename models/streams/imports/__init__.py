"""Planning an import and applying its outcomes to a stream. Pure."""
