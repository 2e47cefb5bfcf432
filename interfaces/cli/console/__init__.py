"""What commands share: output, parameters, errors, sessions and files."""
