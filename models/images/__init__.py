"""Manifest bytes to Image objects. Pure: no I/O, no clock. Knows neither streams nor rows."""
