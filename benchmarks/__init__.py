"""Side-by-side measurements: ``python -m benchmarks`` (speed), ``.burda`` and ``.quality`` (nats).

Each run prints its table and writes it, with the machine, the versions and the settings, to
``benchmarks/results/``. Run them from the repository's root.
"""
