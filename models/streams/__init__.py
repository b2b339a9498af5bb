"""The life of an image stream: pure rules. Time, limits and dice come in as arguments."""
