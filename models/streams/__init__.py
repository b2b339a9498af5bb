"""Rules of image streams. Pure functions: time, limits and random values come in as arguments."""
