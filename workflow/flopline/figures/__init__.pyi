# What the package offers by name, which it loads when asked (see __init__.py).
from flopline.figures.quick import cleaning as cleaning
from flopline.figures.quick import contours as contours
from flopline.figures.quick import envelope as envelope
from flopline.figures.quick import families as families
from flopline.figures.quick import identifiability as identifiability
from flopline.figures.quick import isoflop as isoflop
from flopline.figures.quick import ladder as ladder
from flopline.figures.quick import losscompute as losscompute
from flopline.figures.quick import save as save
from flopline.figures.quick import stakes as stakes
from flopline.figures.quick import surface as surface

NOTEBOOK: tuple[str, ...]
