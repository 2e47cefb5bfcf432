"""Code that the commands share: output, parameters, errors, sessions and files."""
