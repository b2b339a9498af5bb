"""Which tags are checked, how often, and when next. Pure: the clock comes in as an argument."""
