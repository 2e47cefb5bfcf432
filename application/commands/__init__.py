"""The commands, and the structs of their replies."""
