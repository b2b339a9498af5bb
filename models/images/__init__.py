"""From manifest bytes to an Image: pure, no I/O, no clock. Knows nothing of streams or rows."""
