"""Trained networks in use: pictures of label maps, label maps of pictures."""
