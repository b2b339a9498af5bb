"""Tags of a stream: history, tracking of other tags, conditions, writes and views. Pure."""
