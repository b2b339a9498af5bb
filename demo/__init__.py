"""`make demo`: tagstream on a stage, with a real registry as the outside world."""
