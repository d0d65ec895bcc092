"""MetaWorld (arXiv 1910.10897), the package of that name: a Sawyer's hand, 50 tasks, 80 Hz."""
