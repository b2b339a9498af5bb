"""Settings and the configuration values made from them; read by entry points, never at import."""
