"""The application layer: commands, handlers, the saga, the ports, and the capabilities built on them."""
