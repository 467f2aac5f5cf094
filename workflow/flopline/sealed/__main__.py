"""`python -m flopline.sealed forecast STUDY` and `python -m flopline.sealed judge STUDY`."""

import sys

from flopline.sealed.sealing_command import main

sys.exit(main())
