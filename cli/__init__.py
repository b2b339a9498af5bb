"""The `tagstream` command: one verb a file. The front door; imports the other rooms late."""
