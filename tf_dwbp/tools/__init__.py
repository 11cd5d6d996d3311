"""What the programs share, and nothing of it knows a program: files, processes, problems."""
