"""What HTTP and the command line read of settlements."""
