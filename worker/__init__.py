"""Does imports; the only room that talks to strangers."""
