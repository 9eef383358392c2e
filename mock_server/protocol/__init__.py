"""What the Messages API says. Standard library only: no scenario, no clock, no socket."""
