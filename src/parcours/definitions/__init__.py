"""What was asked: the definitions a workspace is made of, read from files or the API, and checked as a whole."""
