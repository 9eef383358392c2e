"""Content nobody wrote: prose, and values that fit a schema or miss it on purpose. Random only through the seed."""
