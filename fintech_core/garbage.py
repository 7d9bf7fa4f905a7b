"""How often Python looks for unused objects that refer to each other."""

import gc


def settle() -> None:
    """This process has loaded what it needs: that stays, and is looked at no more.

    What comes after is looked at less often than Python would: a batch makes tens of thousands of objects
    that live until it is answered, which took a tenth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
