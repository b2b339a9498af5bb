"""What is the same for every resource: one file a verb. Knows HTTP and options, never a table."""
