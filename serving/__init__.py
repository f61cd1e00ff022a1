"""What chooses, starts, watches and stops the servers, for `make serve` and for the images of deploy/."""
