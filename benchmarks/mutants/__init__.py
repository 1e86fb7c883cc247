"""Mutation of what claims rest on: ``python -m benchmarks.mutants [NOTEBOOK ...]``.

A claim that holds whatever it rests on says nothing. Here each chapter runs once as it is, and then
again and again with one thing changed: first at the package's edge (an untrained model, shuffled
labels, noise for images, a KL without its factor: ``_world``), then, for claims that survive all of
this, in the chapter's own statements that the claim depends on (``_local``), never in its own
comparison. A claim that fails under a change is *killed* by it. ``benchmarks/results/claims.json``
keeps what was tried and what killed; the book's register shows it.
"""
