"""How the two networks learn."""
