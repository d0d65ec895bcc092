"""Every decoder under as many hostile inputs as one likes: ``python -m tests.fuzz --help``."""
