"""The command line of Vekha and the launcher that runs all five services in one process."""
