"""Small things of the SDK."""
