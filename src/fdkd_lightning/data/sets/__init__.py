"""Data modules of published data sets; ``root`` is a folder that you downloaded.

Of the largest ones this package also has the files alone, which need no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
