"""Tables, comparisons and figures, made from the files that other rooms have written."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
