"""robosuite (arXiv 2009.12293), the package of that name: a Panda's hand, 20 Hz."""
