"""What the server answers, by topic."""
