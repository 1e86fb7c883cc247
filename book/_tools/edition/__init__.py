"""How a chapter becomes a notebook that needs no page: see ``book/_tools/editions.py``."""
