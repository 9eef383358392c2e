"""What the Messages API says: no scenario, no clock, no socket. Standard library only, but for schemas and patterns."""
