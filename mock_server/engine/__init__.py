"""What we decide. No I/O: the clock, ids and randomness are passed in."""
