"""`python -m flopline.drafting FOLDER`: draft a study from a folder of logs."""

import sys

from flopline.drafting.drafting_command import main

sys.exit(main())
