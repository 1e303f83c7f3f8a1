"""One experiment a file, each with `get_config()`."""
