"""What goes on the wire. The only folder that imports aiohttp."""
