"""Answers questions about the weather."""
