"""What OASIS is compared with: the same data, generator, step and scores."""
