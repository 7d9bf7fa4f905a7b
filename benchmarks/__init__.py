"""What a transfer costs here, measured beside the least that PostgreSQL asks for it and beside others.

``python -m benchmarks`` compares candidates, ``python -m benchmarks.growth`` an empty and a large ledger;
both need servers of their own, which ``make bench`` and ``make bench-growth`` give them.
"""
