"""`python -m flopline.sealed forecast STUDY` and `python -m flopline.sealed judge STUDY`."""

import sys

from flopline.sealed.command import main

sys.exit(main())
