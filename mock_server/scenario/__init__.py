"""What the author wrote: the scenario language, its loader and the generated content."""
