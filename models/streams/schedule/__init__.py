"""The schedule: which tags are checked, how often, and when next. Pure: time is an argument."""
